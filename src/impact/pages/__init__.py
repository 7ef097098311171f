"""Pages: what was released, shown to people."""
