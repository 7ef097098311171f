"""Every door of the pages, tried with what was not released, was altered, or was put together by hand."""

from __future__ import annotations

import inspect
import json
import pkgutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from impact import pages
from impact.disclosure import Released, release
from impact.errors import DisclosureError, ImpactError, RunError
from impact.pages import plots, report, words
from impact.pages.layout import Table
from impact.pages.signed import MIME
from impact.pages.statement import Statement

from .test_hostile import results


def shown_cell(thing: Any) -> Any:
    data, metadata = pages.show(thing)._repr_mimebundle_()
    return new_code_cell("show(it)", outputs=[new_output("display_data", data=data, metadata=metadata)])


@pytest.fixture
def released() -> dict[str, Released]:
    return release(results(["a", "b", "c"]), "hes")


def test_a_notebook_that_jupyterlab_saved_still_counts(released: dict[str, Released]) -> None:
    """It writes whole numbers without their point."""
    nb = new_notebook(
        cells=[new_markdown_cell("# T"), *map(shown_cell, (released["effects"], released["words"]))]
    )
    text = nbformat.writes(nb)
    saved = json.dumps(
        json.loads(text, parse_float=lambda n: int(float(n)) if n.endswith(".0") else float(n))
    )
    assert json.dumps(json.loads(text)) != saved
    assert report.render(nbformat.reads(saved, as_version=4)) == report.render(nb)


@pytest.mark.parametrize(
    "part", ["text/html", "a figure", "the role", "the table", "no signature", "another's"]
)
def test_an_output_that_was_altered_is_refused(
    released: dict[str, Released], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = plots.forest(released["effects"]) if part == "a figure" else released["effects"]
    nb = new_notebook(cells=[new_markdown_cell("# T"), shown_cell(thing)])
    assert "<h1>T</h1>" in report.render(nb)
    output = nb.cells[1].outputs[0]
    if part == "the table":
        output.data[MIME][0]["table"][0]["estimate"] = 3
    elif part == "the role":
        output.metadata[MIME]["role"] = "headline"
    elif part == "no signature":
        output.metadata = {}
    elif part == "another's":
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "of-a-colleague"))
    else:
        output.data["text/html"] = output.data["text/html"].replace("a", "b", 1)
    for make in (report.render, report.harvest, lambda nb: report.entry(nb, href="t.html")):
        with pytest.raises(DisclosureError, match=r"^cell 2 has an output that is marked as released"):
            make(nb)


def test_without_a_place_for_the_secret_nothing_is_shown(
    released: dict[str, Released], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "a-file"))
    with pytest.raises(RunError, match="set JUPYTER_DATA_DIR to a folder in which you may write") as caught:
        shown_cell(released["effects"])
    assert str(tmp_path) not in str(caught.value)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "a-folder"))
    report.render(new_notebook(cells=[new_markdown_cell("# T"), shown_cell(released["effects"])]))
    assert (tmp_path / "a-folder/notebook_secret").is_file()


def test_what_is_drawn_on_a_figure_afterwards_is_not_shown(released: dict[str, Released]) -> None:
    plain = pages.show(plots.forest(released["effects"])).html
    ax = plots.forest(released["effects"])
    ax.text(0.5, 0.5, "Ann", transform=ax.transAxes, fontsize=40)
    ax.set_title("Ann")
    assert pages.show(ax).html == plain


def test_a_hand_made_display_is_refused(released: dict[str, Released]) -> None:
    with pytest.raises(DisclosureError, match=r"only impact\.show makes one"):
        pages.Shown("Ann", "<p>Ann</p>", (released["effects"],))
    with pytest.raises(DisclosureError, match=r"only impact\.show makes one"):
        replace(pages.show(released["effects"]), html="<p>Ann</p>")


def imitations() -> list[Any]:
    """Results as they are before the gate, and things that look just like what comes out of it."""
    before = results(["Quill", "b", "c"])
    after = release(before, "hes").values()
    kept = [name for name in dir(Released) if not name.startswith("_")]
    alike = [
        SimpleNamespace(**vars(one), **{n: getattr(one, n) for n in kept if n not in vars(one)})
        for one in after
    ]

    class Alike:
        __class__ = Released  # what isinstance looks at

        def __init__(self, of: SimpleNamespace) -> None:
            vars(self).update(vars(of))

    return [*before.values(), *(one.table for one in after), *alike, *map(Alike, alike)]


IMITATIONS = imitations()


def doors() -> dict[str, Any]:
    """Every public function of ``pages`` that takes something released first."""
    found = {}
    for module in pkgutil.iter_modules(pages.__path__, "impact.pages."):
        for name, function in vars(import_module(module.name)).items():
            if inspect.isfunction(function) and function.__module__ == module.name and name[0] != "_":
                first = next(iter(inspect.signature(function).parameters.values()), None)
                if first is not None and "Released" in str(first.annotation):
                    found[f"{module.name}.{name}"] = (function, "Mapping" in str(first.annotation))
    return found


@pytest.mark.parametrize("door", [*doors(), "impact.pages.show"])
def test_no_door_shows_what_was_not_released(door: str) -> None:
    function, takes_page = doors().get(door, (pages.show, False))
    for imitation in IMITATIONS:
        assert "Quill" not in shown_by(function, imitation, takes_page), type(imitation)


def shown_by(function: Any, thing: Any, takes_page: bool) -> str:
    """What a notebook would display of what a function makes of a thing, or says when it refuses it."""
    page = dict.fromkeys(("effects", "beside", "bounds", "flow", "spillover", "other", "brief"), thing)
    try:
        made = function(page if takes_page else thing)
        return made.html if isinstance(made, Table) else json.dumps(pages.show(made)._repr_mimebundle_())
    except Exception as error:
        return str(error) if isinstance(error, ImpactError) else ""


def test_the_doors_are_open_to_what_was_released() -> None:
    assert len(doors()) > 40
    after = release(results(["Quill", "b", "c"]), "hes").values()
    used = {
        name
        for name, (function, takes_page) in doors().items()
        if any("Quill" in shown_by(function, one, takes_page) for one in after)
    }
    assert {f"impact.pages.{door}" for door in ("tables.table", "plots.forest", "words.headline")} <= used
    assert len(used) > 10, used


def test_words_of_ones_own_are_no_statement_and_hold_no_identifier(released: dict[str, Released]) -> None:
    with pytest.raises(DisclosureError, match=r"only the functions of impact\.pages make one"):
        Statement("sentence", (("list", ("3 people died.",)),), (released["effects"],))
    with pytest.raises(DisclosureError, match=r"only the functions of impact\.pages make one"):
        replace(words.claims(released["effects"]), parts=(("list", ("3 people died.",)),))
    with pytest.raises(DisclosureError, match="the caption holds a UK postcode"):
        pages.show(released["effects"], caption="Around SW1A 1AA")
