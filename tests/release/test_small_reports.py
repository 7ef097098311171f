"""Reports on few people: each is released, with more withheld, and none gives a withheld count away.

The notebooks' own cells make the results, without a kernel; ``IMPACT_SLOW=1`` takes more people and rules.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

import impact
from impact.data import synthetic
from impact.disclosure import policies
from impact.study import Study, read_studies

from . import real
from .reader import given_away

SLOW = os.environ.get("IMPACT_SLOW") == "1"
PAGES = ("cohort", "did", "matching", "survey", "findings")
# People and seed: of 400 the second, third and fourth page each told what the first withheld of five.
FEW = [(400, 20261122), *([(100, 1), (180, 10), (240, 14), (350, 5)] if SLOW else [])]


def results(root: Path, page: str, study: Study) -> dict[str, Any]:
    """What a notebook hands over to be released."""
    made: dict[str, Any] = {"impact": impact, "study": study}
    for cell in nbformat.read(root / f"notebooks/{page}.ipynb", 4).cells:
        is_code = cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])
        if is_code and "impact.Study(" not in cell.source and "results" not in made:
            exec(cell.source.split("\nreleased =")[0], made)
    return dict(made["results"])


@pytest.fixture(scope="module", params=FEW, ids=lambda few: f"{few[0]} people")
def small(request: Any, tmp_path_factory: Any, root: Path) -> Any:
    folder = tmp_path_factory.mktemp("small")
    people, seed = request.param
    synthetic.make(folder / "data", people=people, seed=seed)
    (folder / "params").mkdir()
    (folder / "params/demo.yaml").write_text((root / "params/demo.yaml").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPACT_ROOT", str(folder))
        patch.chdir(folder)
        study = read_studies(["params/demo.yaml"])[0]
        yield study, {page: results(root, page, study) for page in PAGES}


@pytest.mark.parametrize("name", policies())
def test_a_report_on_few_people_is_released_and_gives_nothing_away(
    name: str, small: Any, tmp_path: Path
) -> None:
    study, pages = small
    sent, statuses = {}, set()
    for page, found in pages.items():
        released = impact.disclosure.release(found, name, record=tmp_path / f"{page}.json")
        statuses |= {(page, row["table"]) for row in released.sheet if row["status"] == "fail"}
        sent |= {(page, key): json.loads(one.to_json()) for key, one in released.items() if key != "counted"}
    assert statuses == set()
    if name != "hes":
        return
    rule, world = policies()[name], real.world(study, sent)
    counts = real.counts(world, sent)
    assert sum(count.printed is not None for some in counts.values() for count in some) > 100
    found = given_away(world.people, counts["people"], rule, world.facts)
    for kind, events in world.events.items():
        found += given_away(events, counts[kind], rule)
    assert found == []
