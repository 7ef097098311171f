"""What is kept of a study's data when disks fill up, processes are killed, and several read at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from impact.data import read

READ = """
import json, resource, signal, sys
from impact.data import read
tables, limit, times = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
if limit:
    # A file that grows beyond it cannot be written, as on a full disk.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for _ in range(times):
    cohort = read(**tables)
    counts = cohort.panel(outcomes=["gp", "bed_days"]).outcomes
    print([len(cohort), *(float(v.sum()) for v in counts.values()), float(cohort.people["prior_gp"].sum())])
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and kills of POSIX")


@pytest.fixture
def tables(demo, tmp_path):
    """The demonstration, with a cache."""
    given = {name: str(demo / f"{name}.csv") for name in ("people", "contacts", "coverage")}
    return given | {"treated": ["hand_holding"], "control": ["control"], "cache": str(tmp_path)}


def started(tables, limit=0, times=1):
    command = [sys.executable, "-c", READ, json.dumps(tables), str(limit), str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.split("\n")[:-1]


@pytest.fixture
def expected(tables):
    """What a process prints that keeps nothing."""
    (line,) = finished(started(tables | {"cache": None}))
    return line


def left_over(folder):
    return [p for p in folder.rglob("*") if p.name.startswith(".making") or p.name.startswith("new")]


# Nothing can be written; the counts can, of which some stay; nearly all of the tables can.
@pytest.mark.parametrize("limit", [100, 20_000, 350_000])
def test_a_full_disk_only_costs_time(tables, expected, tmp_path, limit):
    assert finished(started(tables, limit, times=2)) == [expected] * 2
    assert not [*tmp_path.rglob("*.duckdb")]
    assert not left_over(tmp_path)
    assert finished(started(tables)) == [expected]
    assert len([*tmp_path.rglob("*.duckdb")]) == 1


def test_several_build_and_read_at_once(tables, expected, tmp_path):
    processes = [started(tables, times=3) for _ in range(4)]
    assert [finished(p) for p in processes] == [[expected] * 3] * 4
    assert [*tmp_path.rglob("*.duckdb")]
    assert not left_over(tmp_path)
    assert finished(started(tables)) == [expected]


def test_killed_at_any_moment(tables, expected, tmp_path):
    begun = time.monotonic()
    assert finished(started(tables)) == [expected]
    whole = time.monotonic() - begun
    for path in tmp_path.rglob("*-*.*"):
        path.unlink()
    for part in range(1, 7):
        process = started(tables)
        # From the moment at which Python has been loaded to the end.
        time.sleep(whole * (0.4 + part / 12))
        process.kill()
        process.communicate()
    assert finished(started(tables, times=2)) == [expected] * 2


def test_what_a_process_has_open_may_be_removed(tables, expected, tmp_path):
    read(**tables)
    cohort = read(**tables)
    for path in tmp_path.rglob("*-*.*"):
        path.unlink()
    counts = cohort.panel(outcomes=["gp", "bed_days"]).outcomes
    assert expected.startswith(
        f"[{len(cohort)}, {float(counts['gp'].sum())}, {float(counts['bed_days'].sum())}"
    )
