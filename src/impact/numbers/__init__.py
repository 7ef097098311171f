"""Array functions: regressions and inference. Nothing here knows of panels or people."""
