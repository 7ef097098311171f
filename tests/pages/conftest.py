"""One complete page of released results, and a real browser that may not use the network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from impact import pages
from impact.disclosure import release
from impact.pages import before_after, plots, report, words
from impact.results import Balance, Effects, Rates, Summary

from .proof import FLAGS, chromium, opened

PER = "per 1,000 person-months"
HOSTILE = "<script>alert(1)</script> & <b>social</b> rent"
ARMS = ("supported", "control")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium of the system, headless; without one the test is skipped, unless a browser is required."""
    path = chromium()
    if path is None:
        said = "no Chromium found: install one, or name it in IMPACT_CHROMIUM"
        if os.environ.get("IMPACT_REQUIRE_BROWSER"):
            pytest.fail(said)
        pytest.skip(said)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Open pages that are closed when the test is done."""
    with ExitStack() as stack:
        yield lambda file, **view: stack.enter_context(opened(browser, file, **view))


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, with every figure and kind of table, as a file."""
    folder = tmp_path_factory.mktemp("share")
    links = [("All pages", "index.html"), ("Findings", "findings.html")]
    (folder / "findings.html").write_text(report.render(_notebook(), links=links), encoding="utf-8")
    entries = [report.entry(_notebook(), href="findings.html")]
    index = report.index(title="Northtown", pages=entries, skipped=[("matching", "No matching section.")])
    (folder / "index.html").write_text(index, encoding="utf-8")
    return folder / "findings.html"


@pytest.fixture(scope="session")
def figures() -> dict[str, Any]:
    """Every kind of figure, drawn."""
    released = _released()
    return {
        "forest": plots.forest(released["effects"]),
        "rates": plots.rates(released["rates"]),
        "event_study": plots.event_study(released["by_time"]),
        "overlap": plots.overlap(released["overlap"]),
        "love": plots.love(released["balance"]),
        "placebo": plots.placebo(released["placebo"]),
    }


def _released() -> Any:
    return release(
        {
            "effects": _effects(),
            "by_time": _by_time(),
            "rates": _rates(),
            "overlap": _overlap(),
            "balance": _balance(),
            "placebo": _placebo(),
            "naive": _naive(),
            "people": _people(),
        },
        "hes",
    )


def _notebook() -> Any:
    released = _released()
    answer = [pages.masthead("Northtown Homes", "2023 to 2025"), words.headline(released["effects"])]
    sections: list[tuple[str, list[Any]]] = [
        ("# Did health support reduce use of NHS services?", answer),
        ("## What changed, service by service", [plots.forest(released["effects"])]),
        ("### In events a year", [plots.forest(released["effects"], scale="difference")]),
        ("## Why the simple fall misleads", [before_after.meter(released)]),
        ("## What may be said, and what may not", [words.claims(released["effects"])]),
        ("## Over time", [plots.rates(released["rates"]), plots.event_study(released["by_time"])]),
        ("## Alike or not", [plots.overlap(released["overlap"]), plots.love(released["balance"])]),
        ("## Starts that never happened", [plots.placebo(released["placebo"])]),
        ("## Who is in it", [released["people"], released["people"]]),
        ("## How it was done\n\n| Step | What |\n|---|---|\n| 1 | [match](matching.ipynb) |", []),
    ]
    cells: list[Any] = []
    for text, things in sections:
        cells.append(nbformat.v4.new_markdown_cell(text))
        cells += [_cell(thing) for thing in things]
    return nbformat.v4.new_notebook(cells=cells)


def _cell(thing: Any) -> Any:
    data, metadata = pages.show(thing)._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    return nbformat.v4.new_code_cell("show(thing)", outputs=[output])


def _made(
    labels: list[dict[str, Any]], estimate: Any, error: Any, more: Mapping[str, int] = {}, **method: Any
) -> Effects:
    behind = {"persons": 1200, "treated": 346, "clusters": 120, "events": 212} | dict(more)
    return Effects(
        pd.DataFrame(labels),
        np.asarray(estimate, float),
        np.diag(np.asarray(error, float)),
        np.arange(len(labels)),
        119,
        {"estimator": "two_by_two", "estimand": "effect on the treated"} | method,
        pd.DataFrame([behind] * len(labels)),
    )


def wide_notebook() -> Any:
    """One table of effects with as many figures as counts of trusts have."""
    found = {"emergency_admission": (-1250, 4100, -0.01, 0.02, -129_358), "ae": (250, 990, 0.2, 0.1, 64_429)}
    released = release({"effects": _effects(found, persons=12_000, events=4_800_880)}, "hes")
    cells = [nbformat.v4.new_markdown_cell("# Wide\n\n## The numbers"), _cell(released["effects"])]
    return nbformat.v4.new_notebook(cells=cells)


_FOUND = {
    "emergency_admission": (-58, 22, -0.186, 0.07, 20),
    "ae": (-41, 26, -0.066, 0.043, 14),
    "bed_days": (380, 170, 0.15, 0.06, -105),
    "gp": (-120, 225, -0.02, 0.04, 41),
}


def _effects(found: Mapping[str, tuple[float, ...]] = _FOUND, **behind: int) -> Effects:
    labels, estimate, error = [], [], []
    for outcome, (difference, se, ratio, ratio_se, avoided) in found.items():
        for scale, unit in (
            ("difference", PER),
            ("log ratio", "log ratio"),
            ("events avoided", "events"),
        ):
            labels.append({"outcome": outcome, "term": "att", "scale": scale, "unit": unit})
        estimate += [difference / 12, ratio, avoided]
        error += [se / 12, ratio_se, abs(avoided) / 2]
    return _made(labels, estimate, error, behind)


def _by_time() -> Effects:
    time = np.arange(-12, 12)
    rows = [
        {"outcome": "emergency_admission", "term": "att", "scale": "difference", "unit": PER, "event_time": t}
        for t in time
    ]
    estimate = np.where(time == -4, 0, np.where(time >= 0, -5, np.where(time > -4, 6, 0.5 * np.sin(time))))
    return _made(rows, estimate, np.where(time == -4, 0, 2.2), anticipation=3, period="month")


def _rates() -> Rates:
    months = pd.date_range("2022-07-01", periods=36, freq="MS")
    rows = [
        {"outcome": outcome, "arm": arm, "period": month, "step": 1, "persons": 346 - i}
        | {"events": (14 + (i * 7) % 9) * more, "person_months": 346.0 - i}
        for outcome, more in (("ae", 2), ("gp", 6))
        for arm in ARMS
        for i, month in enumerate(months)
    ]
    table = pd.DataFrame(rows)
    table["rate_per_1000_person_months"] = 1000 * table["events"] / table["person_months"]
    method = {"per": PER, "first_start": pd.Timestamp("2023-10-01"), "last_start": pd.Timestamp("2024-09-01")}
    return Rates(table, method)


def _overlap() -> Summary:
    rows = [
        {"arm": arm, "bin_low": round(0.1 * i, 1), "bin_high": round(0.1 * (i + 1), 1), "persons": persons}
        for arm, counts in (("treated", (3, 20, 60, 90, 40, 5)), ("control", (90, 160, 80, 40, 12, 0)))
        for i, persons in enumerate(counts)
    ]
    return Summary(pd.DataFrame(rows), {"shows": "people by arm"}, people=["persons"], adds_up=["arm"])


def _balance() -> Balance:
    names = ["age", "sex", "ltc_n", "imd_fifth", "prior_gp", "prior_emergency_admission"]
    rows = [
        {"covariate": name, "level": "female" if name == "sex" else "", "sample": sample}
        | {
            "mean_treated": 2 + smd,
            "mean_control": 2.0,
            "smd": smd,
            "variance_ratio": 1.1,
            "ks": abs(smd) / 2,
        }
        for i, name in enumerate(names)
        for sample, smd in (("before", 0.5 - 0.12 * i), ("after", 0.06 - 0.02 * i))
    ]
    counts = pd.DataFrame(
        {"sample": ["before", "after"], "arm": "supported", "persons": [346, 331], "ess": [346, 331]}
    )
    return Balance(pd.DataFrame(rows), {}, counts)


def _placebo() -> Summary:
    edges = np.linspace(-9, 9, 26)
    draws = np.round(60 * np.exp(-((edges[:-1] + 0.36) ** 2) / 12)).astype(int)
    table = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "draws": draws, "here": np.arange(25) == 5})
    method = {
        "shows": "placebo",
        "draws": 500,
        "estimate": -5.0,
        "unit": PER,
        "outcome": "ae",
        "p_value": 0.03,
    }
    return Summary(table, method)


WAYS, ENDS = ("formula", "alike"), ("percent", "low", "high")


def _naive() -> Summary:
    rows = []
    for outcome in ("emergency_admission", "ae"):
        row: dict[str, Any] = {"outcome": outcome}
        for arm, before, after in (("supported", 28.4, 17.8), ("control", 27.5, 19.3)):
            row |= {f"{arm}_persons": 346, f"{arm}_before": before, f"{arm}_after": after}
            row |= {f"{arm}_before_events": 118, f"{arm}_after_events": 74}
            row[f"{arm}_change_percent"] = 100 * (after / before - 1)
        row |= {f"{way}_{end}": v for way in WAYS for end, v in zip(ENDS, (-20.0, -28.0, -11.0), strict=True)}
        rows.append(row)
    events = [f"{arm}_{when}_events" for arm in ARMS for when in ("before", "after")]
    return Summary(
        pd.DataFrame(rows),
        {"shows": "before and after", "per": PER},
        people=[f"{arm}_persons" for arm in ARMS],
        events=events,
        derived={f"{arm}_{w}": events for arm in ARMS for w in ("before", "after", "change_percent")}
        | {f"{way}_{end}": events for way in WAYS for end in ENDS},
    )


def _people() -> Summary:
    table = pd.DataFrame({"tenure": [HOSTILE, "private", "a" * 300], "persons": [1234, 52, 3]})
    return Summary(table, {"shows": "people by tenure"}, people=["persons"])
