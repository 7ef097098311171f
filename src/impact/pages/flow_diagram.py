"""Who is in the study, from everyone in the file to each group, as a diagram (STROBE)."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from impact.disclosure import Released
from impact.pages.called import left_out
from impact.pages.formats import capital, label, listed, number, numeric, require_released, who
from impact.pages.layout import NOT_SHOWN
from impact.pages.style import GREY, INK, SOFT, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAPTION = (
    "From everyone in the file at the top to those compared at the bottom; on the right, who was left out."
)
_LINE, _ROOM = 0.23, 0.2
_IN = {"treated": "With support", "control": "Without support"}


def flow(released: Released) -> Axes:
    """Draw who is in the study and who was left out; a count that is withheld is said to be.

    Parameters
    ----------
    released : Released
        The flow of a cohort or panel.
    """
    first, out, arms = _steps(require_released(released))
    reasons = [line for said in out for line in textwrap.wrap(said, 25, subsequent_indent="  ")]
    aside = _LINE * (len(reasons) + 1) + _ROOM if reasons else 0.0
    top, between = 2 * _LINE + _ROOM, max(aside, 0.3) + 0.45
    below = 2 * _LINE + _ROOM
    tall = top + between + below + 0.1
    with figure(released, "flow", [tall]) as axes:
        ax = axes[0]
        ax.set(xlim=(-0.01, 1.01), ylim=(0, tall))
        ax.axis("off")
        y = tall - top - 0.05
        _box(ax, (0.0, y, 0.47, top), "\n".join(first), TEAL)
        if reasons:
            middle = y - 0.08 - aside / 2
            text = "\n".join(["Left out", *reasons])
            _box(ax, (0.53, middle - aside / 2, 0.47, aside), text, GREY, left=True)
            _arrow(ax, (0.235, middle), (0.53, middle))
        for x, said in zip((0.0, 0.53), arms, strict=True):
            _box(ax, (x, 0.05, 0.47, below), "\n".join(said), TEAL if x == 0 else GREY)
        fork = 0.05 + below + 0.12
        ax.plot([0.235, 0.235], [y, fork], color=INK, linewidth=1)
        ax.plot([0.235, 0.765], [fork, fork], color=INK, linewidth=1)
        for x in (0.235, 0.765):
            _arrow(ax, (x, fork), (x, 0.05 + below))
    return axes[0]


def alt(released: Released) -> str:
    """Say the diagram in a sentence for each of its steps."""
    first, out, arms = _steps(released)
    said = [f"Flow diagram. {' '.join(first)}"]
    said.append(f"Left out: {listed(out)}" if out else "Nobody was left out")
    said.append(f"In the study: {'; '.join(' '.join(arm).lower() for arm in arms)}")
    return f"{'. '.join(said)}."


def _steps(released: Released) -> tuple[list[str], list[str], list[list[str]]]:
    """The words of the first box, of those left out, and of the two groups."""
    rows = [
        (str(row["stage"]), str(row["rule"]), NOT_SHOWN if hidden else number(row["persons"]))
        for row, hidden in zip(released.table.to_dict("records"), released.hidden["persons"], strict=True)
    ]
    none = (numeric(released.table["persons"]) == 0).tolist()
    those = who(released)
    first = next(n for stage, _, n in rows if stage not in ("left out", "in the study"))
    out = [
        f"{left_out(rule)}: {n}" if n == NOT_SHOWN else f"{n} {left_out(rule)}"
        for (stage, rule, n), empty in zip(rows, none, strict=True)
        if stage == "left out" and not empty
    ]
    counts = {rule: n for stage, rule, n in rows if stage == "in the study"}
    arms = [[_IN.get(rule, label(rule)), _counted(n, those)] for rule, n in counts.items()]
    return ["In the file", _counted(first, those)], out, arms


def _counted(n: str, those: str) -> str:
    return f"{capital(those)}: {NOT_SHOWN}" if n == NOT_SHOWN else f"{n} {those}"


def _box(
    ax: Axes, place: tuple[float, float, float, float], text: str, colour: str, *, left: bool = False
) -> None:
    from matplotlib.patches import Rectangle

    x, y, wide, high = place
    ax.add_patch(Rectangle((x, y), wide, high, facecolor="white", edgecolor=colour, linewidth=1.5))
    at = x + 0.02 if left else x + wide / 2
    ax.text(
        at, y + high / 2, text, ha="left" if left else "center", va="center", fontsize=11, linespacing=1.3
    )


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": SOFT, "linewidth": 1})
