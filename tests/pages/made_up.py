"""Outputs of made-up studies, signed as a run signs them; for benchmarks: `made_up.py FOLDER SITES`."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from impact.run import summaries
from impact.run.plan import code_hash

OUTCOMES = ("emergency_admission", "ae")
CHOICES = {"matched by": ("nearest", "optimal", "full"), "months with support": ("12", "6")}
PAGES = [
    ["All pages", "index.html"],
    ["Did it help?", "findings.html"],
    ["Who is in the study", "cohort.html"],
]
ESTIMAND = "effect on those supported, over their observed supported person-time"


def rows(rng: np.random.Generator, shift: float = 0.0) -> list[dict[str, Any]]:
    """Released effects on each outcome, on both scales."""
    out = []
    for k, outcome in enumerate(OUTCOMES):
        log, error = rng.normal(-0.12 + 0.1 * k + shift, 0.05), float(f"{rng.uniform(0.05, 0.2):.2g}")
        for scale, unit, times in (
            ("difference", "per 1,000 person-months", 30.0),
            ("log ratio", "log ratio", 1.0),
        ):
            y, s = round(log * times, 3), round(error * times, 3)
            p = math.erfc(abs(y / s) / math.sqrt(2))
            found = {"estimate": y, "std_error": s, "statistic": y / s, "p_value": float(f"{p:.2g}")}
            reach = {
                "conf_low": round(y - 1.96 * s, 3),
                "conf_high": round(y + 1.96 * s, 3),
                "conf_level": 0.95,
            }
            behind = {"persons": 600, "treated": 200, "clusters": 600, "events": 150, "withheld": False}
            named = {"outcome": outcome, "term": "effect", "scale": scale, "unit": unit, "null_value": 0.0}
            out.append(named | found | reach | behind)
    return out


def add(folder: Path, name: str, rng: np.random.Generator, **more: Any) -> None:
    """Add a study with a report; ``more`` is what its summary says beside what it says here.

    ``gone`` are counts that it withholds for the sake of others, ``counts`` the outcomes that it has.
    """
    place = folder / name
    (place / "private").mkdir(parents=True)
    (place / "share").mkdir()
    (place / "share" / "manifest.json").write_text(json.dumps({"study": name}))
    for _, href in PAGES:
        (place / "share" / href).write_text("<p>A page.</p>")
    people = str(more.pop("people", name))
    gone = dict.fromkeys(more.pop("gone", ()))
    has = more.pop("counts", OUTCOMES)
    table = [row | gone for row in rows(rng, more.pop("shift", 0.0)) if row["outcome"] in has]
    method = {"estimator": "etwfe", "estimand": more.pop("estimand", ESTIMAND)}
    effects = {"name": "effects", "kind": "effects", "policy": "hes", "method": method, "people": [people]}
    summary = {
        "study": name,
        "title": name,
        "file": f"params/{name}.yaml",
        "choices": {},
        "main": True,
        "pretend": False,
        "made": "2026-11-23-090000-000001",
        "pages": PAGES,
        "manifest": summaries._digest(place / "share"),
        "headline": f"{name} cannot tell whether support changed emergency admissions.",
        "sure": "Inconclusive",
        "behind": "The comparison passed 2 of 3 checks.",
        "remarks": [],
        "look": 0,
        "policy": "hes",
        "inputs": [people, f"{people} contacts"],
        "code": {"impact": "0.1.0", "sha256": code_hash()},
        "effects": {**effects, "table": table},
    }
    summaries._write(place / "private" / summaries.SUMMARY, summary | more)


def add_failure(folder: Path, name: str, kind: str = "DesignError", **more: Any) -> None:
    """Add a study of which there is no report, or a failed attempt to one that has a report."""
    place = folder / name / "private" / "failed"
    place.mkdir(parents=True)
    said = {"study": name, "title": name, "file": f"params/{name}.yaml", "choices": {}, "main": True}
    summaries._write(place / summaries.SUMMARY, {**said, "pretend": False, "stopped": kind, **more})


def add_runs(folder: Path, rng: np.random.Generator, *, stem: str = "northtown", **more: Any) -> list[str]:
    """Add the runs of one parameter file on the same people, the main one first."""
    names = []
    for i, values in enumerate(itertools.product(*CHOICES.values())):
        choices: Mapping[str, str] = dict(zip(CHOICES, values, strict=True))
        names.append(f"{stem}--{'-'.join(values)}")
        own = {"title": "Health support, Northtown", "file": f"params/{stem}.yaml", "people": stem}
        add(folder, names[-1], rng, **{**own, "choices": choices, "main": i == 0, **more})
    return names


def outputs(folder: Path, sites: int, *, stopped: int = 2) -> Path:
    """An outputs folder of so many sites, one study with several runs, and some that stopped."""
    rng = np.random.default_rng(5)
    for i in range(sites):
        add(folder, f"site{i:04d}", rng, title=f"Site {i + 1}", look=i % 3)
    add_runs(folder, rng, remarks=["Deaths are not known for the last three months."])
    for i in range(stopped):
        add_failure(folder, f"stopped{i}", title=f"Place {i}")
    return folder


if __name__ == "__main__":
    outputs(Path(sys.argv[1]), int(sys.argv[2]))
