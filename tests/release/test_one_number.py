"""One count is one number in all of a report, also where totals are the sums of their rounded parts.

Two numbers for one count tell more of it than either: 280 and 275 are 278 to whoever knows how both are made.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import policies, release
from impact.results import Summary

from .test_whole_reports import published

RULES = ("opensafely", "opensafely_midpoint6", "hes")


def people(n: dict[str, int], **method: object) -> Summary:
    table = pd.DataFrame({"tenure": list(n), "persons": list(n.values())})
    return Summary(table, method, people=["persons"])


FIRST, SECOND = {"rent": 132, "own": 146, "all": 278}, {"north": 126, "south": 152, "all": 278}


@pytest.mark.parametrize("name", ["opensafely", "opensafely_midpoint6"])
def test_a_total_is_the_sum_of_the_first_table_that_has_its_parts(name: str, tmp_path: Path) -> None:
    everyone = Summary(pd.DataFrame({"persons": [278]}), {"how": "278 people"}, people=["persons"])
    page = {"everyone": everyone, "tenure": people(FIRST), "place": people(SECOND)}
    out = release(page, name, record=tmp_path / "a.json")
    rent, own, total = out["tenure"].table["persons"]
    assert rent + own == total != policies()[name].rounded(278)
    assert out["everyone"].table["persons"].tolist() == [total]
    assert out["everyone"].method["how"] == f"{total} people"
    assert out["place"].table["persons"].iloc[-1] == total
    # And so it is on the next page, and in the next report.
    for record in (tmp_path / "b.json", tmp_path / "next" / "a.json"):
        later = release({"place": people(SECOND)}, name, record=record, previous=tmp_path)
        assert later["place"].table["persons"].iloc[-1] == total


def test_a_total_that_was_printed_by_itself_stays_as_it_was(tmp_path: Path) -> None:
    everyone = Summary(pd.DataFrame({"persons": [278]}), {}, people=["persons"])
    first = release({"everyone": everyone}, "opensafely", record=tmp_path / "a.json")
    later = release({"tenure": people(FIRST)}, "opensafely", record=tmp_path / "b.json")
    assert first["everyone"].table["persons"].tolist() == [280]
    assert later["tenure"].table["persons"].tolist() == [130, 145, 280]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("seed", range(8))
def test_no_count_of_a_report_is_printed_as_two_numbers(name: str, seed: int, tmp_path: Path) -> None:
    """Of random reports of two pages, by who a count is of and not by what the package takes for the same."""
    rng = np.random.default_rng(seed)
    report, rule, told = published(rng), policies()[name], defaultdict[bytes, set[int]](set)
    names = list(rng.permutation(list(report.results)))
    for i in range(2):
        page = {str(n): report.results[str(n)] for n in names[i::2]}
        out = release(page, rule, record=tmp_path / f"{i}.json")
        for (table, column, row), mask in report.of.items():
            # Events of a time are made of the printed time, and shares of the counts.
            if table in out and column != "events" and not column.startswith("mean_"):
                one = out[table]
                of = one.counts["persons"] if column == "counts.persons" else one.table[column]
                told[mask.tobytes()] |= set() if pd.isna(of.iloc[row]) else {int(of.iloc[row])}
    assert [numbers for numbers in told.values() if len(numbers) > 1] == []
