"""The house style of figures: one width, one set of marks, letters to be read in print and on a phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from impact.disclosure import Released

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The figures drawn here: which kind, of what, on which scale or beside what, and the picture as PNG, which
# nothing that is drawn on the figure afterwards can change. Other figures are not shown.
DRAWN: WeakKeyDictionary[Figure, tuple[str, Released, str | Released | None, str]] = WeakKeyDictionary()

WIDTH = 5.2
INK, SOFT, LINE, TEAL, GREY, PALE = "#1d2730", "#4a5660", "#d6dde1", "#0b6e6e", "#6d7880", "#b9c3c8"

# The supported are solid with filled circles, the comparison dashed with open squares.
SUPPORTED: dict[str, Any] = {"color": TEAL, "linestyle": "-", "marker": "o", "markerfacecolor": TEAL}
COMPARISON: dict[str, Any] = {
    "color": GREY,
    "linestyle": (0, (4, 2)),
    "marker": "s",
    "markerfacecolor": "white",
}
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 10.5,
    "axes.edgecolor": SOFT,
    "text.color": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "figure.dpi": 110,
    "savefig.dpi": 200,
}


@contextmanager
def figure(
    released: Released, kind: str, heights: Sequence[float], scale: str | Released | None = None
) -> Iterator[list[Axes]]:
    """Open a figure in the house style with one panel a height, and tie it to what it shows.

    ``scale`` is the scale it was drawn on, or a second result that it shows beside the first.
    """
    import seaborn as sns
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {**sns.axes_style("ticks"), **STYLE}
    with rc_context(style):
        drawn = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        axes = drawn.subplots(len(heights), 1, squeeze=False, sharex=True)[:, 0].tolist()
        yield axes
        for ax in axes:
            sns.despine(ax=ax, left=not ax.spines["left"].get_visible())
        DRAWN[drawn] = (kind, released, scale, _png(drawn))


def _png(figure: Figure) -> str:
    """Draw the figure as a PNG of few colours: a third of the size, and the eye sees no difference."""
    import base64
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(200)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    size, small = canvas.get_width_height(physical=True), io.BytesIO()
    drawn = Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")
    drawn.quantize(colors=64, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
