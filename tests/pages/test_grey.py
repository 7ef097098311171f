"""Figures say the same without colour: in grey print, and to people who see few colours."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle

from impact.pages.style import COMPARISON, GREY, INK, SOFT, SUPPORTED, TEAL

FIGURES = ("forest", "rates", "event_study", "overlap", "love", "placebo")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [INK, SOFT, TEAL, GREY])
def test_words_and_lines_stand_out_from_white(colour: str) -> None:
    assert contrast(colour, "white") >= 4.5


def test_the_two_groups_differ_in_line_in_mark_and_in_filling() -> None:
    for feature in ("linestyle", "marker"):
        assert SUPPORTED[feature] != COMPARISON[feature]
    assert contrast(SUPPORTED["markerfacecolor"], COMPARISON["markerfacecolor"]) >= 4.5


def looks(axes: list[Any]) -> dict[Any, set[str]]:
    """How marks and bars look apart from their hue, with the colours that look like that."""
    found = defaultdict(set)
    for ax in axes:
        for line in ax.lines:
            if line.get_marker() not in ("None", "", None):
                filled = luminance(line.get_markerfacecolor()) < 0.5
                found[line.get_marker(), line.get_linestyle(), filled].add(to_hex(line.get_color()))
        for bar in (patch for patch in ax.patches if isinstance(patch, Rectangle)):
            if bar.get_height() and bar.get_alpha() is None:
                found["bar", bar.get_hatch(), luminance(to_hex(bar.get_facecolor())) < 0.4].add(
                    to_hex(bar.get_facecolor())
                )
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_no_two_colours_look_alike_but_for_their_hue(figures: dict[str, Any], name: str) -> None:
    found = looks(figures[name].figure.axes)
    assert found
    assert {look: colours for look, colours in found.items() if len(colours) > 1} == {}


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_drawn_can_be_seen_on_white(figures: dict[str, Any], name: str) -> None:
    """Three to one, which WCAG 2.2 (1.4.11) asks of what is needed to understand a picture."""
    for ax in figures[name].figure.axes:
        for line in ax.lines:
            assert contrast(to_hex(line.get_color()), "white") >= 3
        for bar in (patch for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_height()):
            sides = (to_hex(bar.get_facecolor()), to_hex(bar.get_edgecolor()))
            assert max(contrast(side, "white") for side in sides) >= 3 or bar.get_alpha()
        whiskers = [lines for lines in ax.collections if isinstance(lines, LineCollection)]
        if name == "event_study":
            assert whiskers
            assert all(contrast(to_hex(c), "white") >= 3 for lines in whiskers for c in lines.get_colors())
