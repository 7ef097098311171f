"""Labels made to do harm go through every kind of result: pages, CSV, JSON and alt text stay text."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from impact import pages
from impact.disclosure import Released, release
from impact.disclosure.wording import LABEL, NAME, SENTENCE, tidy
from impact.errors import DisclosureError
from impact.pages import plots, report
from impact.results import Balance, Bounds, Effects, Matched, Rates, Result, Summary, Test
from impact.run.share import _write_results

SCRIPT = "<script>alert(1)</script>"
HOSTILE = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "</td></table></main><h1>Approved</h1>",
    "<svg/onload=alert(1)>",
    "[click](javascript:alert(1))",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "{{ 7*7 }}{% raw %}",
    "$\\frac{1}{2}$ $broken",
    "=HYPERLINK(A1)",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "\u200b=1+1",
    "\uff1d1+1",
    "|calc",
    "north\u202egnol\u202c",
    "\u2066\u2067isolated\u2069",
    "zero\u200bwidth\ufeff",
    "x" * 10_000,
    "long words " * 1_000,
    "null\x00byte",
    "half \ud800 pair",
    "\udfff",
    "line\nfeed\x1b[31m",
    "\u200b\u200b",
    "e" + "\u0301" * 50,
]  # fmt: skip
FORMULA = tuple("=+-@|%\t\r\uff1d\uff0b\uff0d\uff20")


def behind(n: int) -> pd.DataFrame:
    return pd.DataFrame({"persons": [500] * n, "treated": 250, "clusters": 40, "events": 90}, index=range(n))


def effects(labels: list[str]) -> Effects:
    n = len(labels)
    frame = pd.DataFrame({"outcome": labels, "term": "effect", "scale": "difference", "unit": ""})
    method = {"estimator": labels[0], "notes": labels, "by": {labels[-1]: labels}}
    return Effects(frame, np.arange(n) + 1.0, np.eye(n), np.arange(n), 39, method, behind(n))


def rates(labels: list[str]) -> Rates:
    rows = [
        {"outcome": o, "arm": a, "period": p, "step": 1, "persons": 300, "events": 60, "person_months": 300.0,
         "rate_per_1000_person_months": 200.0}
        for o in labels for a in ("supported", "control") for p in (-1, 0)
    ]  # fmt: skip
    return Rates(pd.DataFrame(rows), {"per": "per 1,000 person-months", "clock": "event", "notes": labels})


def balance(labels: list[str]) -> Balance:
    made = effects(labels)
    rows = pd.DataFrame(
        {"covariate": labels, "level": "", "kind": "", "mean_treated": 41.2, "mean_control": 40.1}
    )
    table = pd.concat(
        [rows.assign(sample=s, smd=0.05, variance_ratio=1.0, ks=0.1) for s in ("before", "after")],
        ignore_index=True,
    )
    counts = pd.DataFrame(
        {"sample": ["before"] * 2 + ["after"] * 2, "arm": ["treated", "control"] * 2, "persons": 400}
    )
    return Balance(table, made.method, counts)


def results(labels: list[str]) -> dict[str, Result]:
    summary = pd.DataFrame({"level": labels, "persons": np.arange(len(labels)) + 100})
    words = pd.DataFrame({"element": labels, "in this study": labels[::-1]})
    counts = pd.DataFrame({"arm": "control", "rule": labels, "persons": 130})
    short = labels[:3]
    return {
        "effects": effects(labels),
        "test": Test("hypothesis", 1.0, 1.0, 0.3, {"outcome": labels[0], "notes": labels}, behind(1)),
        "summary": Summary(summary, {"shows": labels[0]}, people=["persons"]),
        "words": Summary(words, {"shows": "target trial"}),
        "rates": rates(short),
        "balance": balance(labels),
        "matched": Matched(pd.DataFrame(), None, {"method": labels[0]}, counts),
        "bounds": Bounds(
            pd.DataFrame({"outcome": labels, "scale": "difference", "unit": "", "low": 0.5, "high": 0.7}),
            {"notes": labels},
            behind(len(labels)),
        ),
    }


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def assert_harmless(text: str) -> Page:
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("script", "svg", "iframe", "object", "form", "base", "link")
        assert not [name for name in attributes if name.startswith("on")]
        assert "javascript:" not in (attributes.get("href") or "")
        assert tag != "img" or (attributes["src"] or "").startswith("data:image/png;base64,")
        assert all(readable(value or "") for value in attributes.values())
    assert readable("".join(page.said))
    return page


def readable(text: str) -> bool:
    text.encode("utf-8")
    return not any(
        unicodedata.category(c) in ("Cf", "Cs", "Co") or (unicodedata.category(c) == "Cc" and c != "\n")
        for c in text
    )


@pytest.fixture(scope="module")
def released() -> dict[str, Released]:
    return release(results(HOSTILE), "hes")


def test_labels_are_short_readable_and_still_differ(released: dict[str, Released]) -> None:
    for one in released.values():
        texts = [v for c in one.table for v in one.table[c] if isinstance(v, str)] + list(one.notes)
        assert all(readable(text) and len(text) <= SENTENCE for text in texts)
    labels = released["summary"].table["level"]
    assert labels.is_unique
    assert labels.str.len().max() <= LABEL + 4
    assert sum(label.endswith("…") for label in labels) == 2
    assert (labels == SCRIPT).sum() == 1


def test_pages_stay_pages(released: dict[str, Released]) -> None:
    # A page shows bounds of one outcome, which has a name of its own in the tests of pages.
    shown = [pages.show(one) for name, one in released.items() if name != "bounds"]
    shown.append(pages.show(plots.forest(released["effects"])))
    shown.append(pages.show(plots.love(released["balance"])))
    cells = []
    for one in shown:
        data, metadata = one._repr_mimebundle_()
        output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
        cells.append(nbformat.v4.new_code_cell("show(thing)", outputs=[output]))
    cells.insert(0, nbformat.v4.new_markdown_cell(f"# Findings {HOSTILE[0]}"))
    plain = release(
        {"a": Summary(pd.DataFrame({"level": ["a"], "persons": [100]}), {}, people=["persons"])}, "hes"
    )
    calm = assert_harmless(report.render(nbformat.v4.new_notebook(cells=cells[:1]), kicker=plain["a"].name))
    page = assert_harmless(report.render(nbformat.v4.new_notebook(cells=cells), kicker=SCRIPT))
    headings = [tag for tag, _ in page.tags if tag == "h1"]
    assert len(headings) == len([tag for tag, _ in calm.tags if tag == "h1"]) == 1
    assert [tag for tag, _ in page.tags if tag == "main"] == ["main"]
    assert "".join(page.said).count("alert(1)") > 3  # as text, for all to see
    alts = [a["alt"] or "" for tag, a in page.tags if tag == "img"]
    assert len(alts) == 2
    assert all(0 < len(alt) < 10_000 for alt in alts)


def test_files_hold_no_formula(released: dict[str, Released], tmp_path: Any) -> None:
    study = SimpleNamespace(name="s", title="t")
    harvested = [json.loads(one.to_json()) for one in released.values()]
    _write_results(study, {"did": harvested}, tmp_path)  # type: ignore[arg-type]
    written = [file.read_text("utf-8-sig") for file in tmp_path.rglob("*.csv")]
    assert len(written) == len(released) + 1
    for text in [*written, *(one.to_csv() for one in released.values())]:
        rows = list(csv.reader(io.StringIO(text)))
        assert len({len(row) for row in rows}) == 1
        for cell in (cell for row in rows for cell in row):
            assert readable(cell)
            assert not cell.lstrip().startswith(FORMULA) or _is_number(cell), cell[:20]
    json.loads((tmp_path / "results.json").read_text("utf-8"))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("hidden_in", ["call {} now", "\u202e{}", "<b>{}</b>", "=T({})"])
@pytest.mark.parametrize("number", ["943 476 5919", "943\u200b476\u200b5919", "９４３４７６５９１９"])
@pytest.mark.parametrize("kind", list(results(["a", "b", "c"])))
def test_an_nhs_number_in_free_text_stops_every_kind(kind: str, number: str, hidden_in: str) -> None:
    text = hidden_in.format(number)
    with pytest.raises(DisclosureError, match="NHS number") as caught:
        release({kind: results([text, "b", "c"])[kind]}, "hes")
    assert number not in str(caught.value)


def test_names_of_results_are_short_enough_for_a_file() -> None:
    table = pd.DataFrame({"level": ["a"], "persons": [100]})
    one = release({"n" * 10_000: Summary(table, {}, people=["persons"])}, "hes")["n" * 10_000]
    assert len(one.name) == NAME


def test_what_is_already_readable_is_left_alone() -> None:
    for text in ("A&E attendances", "Noswaith dda, Llŷn", "مرحبا", "50–64", "café", ""):
        assert tidy(text) == text
