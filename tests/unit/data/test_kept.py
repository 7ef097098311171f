"""What is kept of a study's data: everything computed from it is the same, and no other study gets it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
import time

import duckdb
import numpy as np
import pandas as pd
import pytest

import impact
from impact.data import kept, read
from impact.data.reading import connect
from impact.errors import DataError, ParameterError

OUTCOMES = ["emergency_admission", "ae", "outpatient", "gp", "bed_days"]
ARMS = {"treated": ["signposting", "hand_holding"], "control": ["control", "pool"]}


@pytest.fixture
def tables(demo):
    """The demonstration's files."""
    return {name: str(demo / f"{name}.csv") for name in ("people", "contacts", "coverage")} | ARMS


@pytest.fixture
def small(tmp_path):
    """Four people, in files that a test may change."""
    (tmp_path / "people.csv").write_text(
        "person_id,arm,start_date\na,x,2024-02-01\nb,x,2024-03-01\nc,y,\nd,y,\n"
    )
    (tmp_path / "contacts.csv").write_text(
        "person_id,service,start\na,gp,2024-01-05\nc,gp,2024-03-30\nd,gp,2024-01-02\nd,gp,2024-03-31\n"
    )
    given = {name: str(tmp_path / f"{name}.csv") for name in ("people", "contacts")}
    return given | {"treated": ["x"], "control": ["y"]}


@pytest.fixture
def long(tmp_path):
    """A ready-made panel with gaps, words and dates."""
    rng = np.random.default_rng(3)
    n, months = 60, [f"2024-{m:02}" for m in range(1, 13)]
    start = np.where(rng.random(n) < 0.4, rng.integers(3, 9, n), -1)
    first = np.where(start >= 0, np.array(months)[start], None)
    frame = pd.DataFrame({"who": np.repeat(np.arange(n), 12), "month": months * n})
    frame["first"] = np.repeat(first, 12)
    frame["falls"] = np.where(rng.random(n * 12) < 0.05, np.nan, rng.poisson(2.0, n * 12))
    frame["part"] = rng.uniform(0.5, 1, n * 12).round(2)
    frame["Age"], frame["home"] = np.repeat(rng.integers(50, 90, n), 12), np.repeat(rng.integers(0, 9, n), 12)
    frame["why"] = np.where(frame.index % 40 == 7, "moved", None)
    frame["why"] = frame.groupby("who")["why"].transform("first")
    frame.sample(frac=1, random_state=1).to_csv(tmp_path / "panel.csv", index=False)
    return {
        "panel": {
            "file": str(tmp_path / "panel.csv"),
            "unit": "who",
            "period": "month",
            "outcomes": ["falls"],
        }
        | {"exposure": "part", "first_treated": "first", "cluster": "home", "ended": "why"}
        | {"covariates": ["Age", "home"], "where": {"home": [0, 1, 2, 3, 4, 5, 6, 7]}}
    }


def all_of(cohort):
    """Everything that the notebooks make of a cohort."""
    dated = {"index_date": "drawn", "seed": 3}
    history = {"services": ["gp", "bed_days"], "months": 12, "by": 3}
    at_homes = {"outcomes": ["gp"], "unit": "building_id"}
    return [
        cohort,
        cohort.losses(),
        cohort.panel(outcomes=OUTCOMES, covariates=["age", "sex"], cluster="building_id"),
        cohort.panel(
            outcomes=["gp", "ae"], period="quarter", start="2023-07", covariates=["prior_gp"], follow_up=6
        ),
        cohort.at_baseline(outcomes=OUTCOMES, history=history, **dated),
        cohort.at_baseline(**at_homes, **dated),
        cohort.around_start(outcomes=OUTCOMES, covariates=["age"], **dated),
        cohort.with_index_dates(rule="period", month="2024-01").follow_up(outcomes=["bed_days"], washout=1),
    ]


def same(a, b):
    """Check that two results hold exactly the same, by the same types."""
    assert type(a) is type(b)
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
        assert list(map(repr, a.to_numpy(object).ravel())) == list(map(repr, b.to_numpy(object).ravel()))
    elif isinstance(a, pd.Index):
        pd.testing.assert_index_equal(a, b, exact=True)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, list | tuple):
        for one, other in zip(a, b, strict=True):
            same(one, other)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        same([*a.values()], [*b.values()])
    elif dataclasses.is_dataclass(a):
        # The tables in DuckDB are those that are compared by all that is made of them.
        same(
            *(
                {f.name: getattr(one, f.name) for f in dataclasses.fields(one) if f.name != "_store"}
                for one in (a, b)
            )
        )
    else:
        assert a == b


def files(cache):
    """What is kept, by name."""
    return {str(p.relative_to(cache)): p for p in sorted(cache.rglob("*")) if p.is_file()}


def put(folder, old, name, kind, write):
    """Put another file, with the right name, in the place of one that is kept."""
    new = folder / f"new.{kind}"
    write(new)
    content = hashlib.sha256(new.read_bytes()).hexdigest()[:32]
    new.rename(folder / f"{name}-{content}.{kind}")
    old.unlink()


def test_all_is_the_same_with_and_without(tables, tmp_path):
    plain = all_of(read(**tables))
    same(all_of(read(**tables, cache=tmp_path)), plain)
    before = files(tmp_path)
    assert len([name for name in before if name.endswith(".duckdb")]) == 1
    assert len([name for name in before if name.endswith(".npy")]) > 5
    same(all_of(read(**tables, cache=tmp_path)), plain)
    assert files(tmp_path).keys() == before.keys()


def test_a_ready_made_panel_is_the_same(long, tmp_path):
    def everything(**cache):
        data = read(**long, **cache)
        frame = data.frame.sort_values(["unit", "period"]).reset_index(drop=True)
        return [
            frame,
            data.checks,
            data.flow,
            data.panel(covariates=["Age"], follow_up=3),
            data.at_baseline(months=4),
            data.around_start(months_before=2, months_after=3),
            data.losses(),
        ]

    plain = everything()
    same(everything(cache=tmp_path / "cache"), plain)
    assert [name[-6:] for name in files(tmp_path / "cache")] == ["ignore", "duckdb"]
    same(everything(cache=tmp_path / "cache"), plain)
    placebo = {"share": 0.5, "from": "2024-04", "to": "2024-06"}
    same(*(read(**long, placebo=placebo, seed=2, cache=c).panel() for c in (None, tmp_path / "cache")))


def test_what_is_kept_is_what_is_read(small, tmp_path):
    read(**small, cache=tmp_path)
    (kept_file,) = tmp_path.rglob("tables-*.duckdb")

    def fewer(file):
        file.write_bytes(kept_file.read_bytes())
        with duckdb.connect(str(file)) as con:
            con.execute("DELETE FROM events")
            con.execute("INSERT INTO events VALUES (0, 'ae', '2024-01-10', NULL)")
            con.execute("INSERT INTO cover SELECT 'ae', arm, lo, hi FROM cover")

    put(kept_file.parent, kept_file, "tables", "duckdb", fewer)
    assert read(**small, cache=tmp_path).panel(outcomes=["ae"]).outcomes["ae"].sum() == 1
    assert "prior_ae" not in read(**small).people


def test_counts_that_are_kept_are_used(small, tmp_path):
    first = read(**small, cache=tmp_path).panel(outcomes=["gp"])
    (table,) = [p for p in tmp_path.rglob("*.npy") if np.load(p).shape == (1, *first.outcomes["gp"].shape)]
    assert np.load(table).dtype == np.uint8
    put(table.parent, table, table.name[:32], "npy", lambda p: np.save(p, np.full((1, 4, 3), 7, np.uint8)))
    assert (read(**small, cache=tmp_path).panel(outcomes=["gp"]).outcomes["gp"] == 7.0).all()


@pytest.mark.parametrize("harm", ["one byte", "cut", "empty", "foreign"])
def test_a_damaged_file_is_made_again(tables, tmp_path, harm):
    cohort = read(**tables, cache=tmp_path)
    whole = cohort.panel(outcomes=["gp"])
    before = files(tmp_path)
    for path in before.values():
        if path.name != ".gitignore":
            held = bytearray(path.read_bytes())
            held[len(held) // 2] ^= 1
            new = {"one byte": held, "cut": held[:-100], "empty": b"", "foreign": b"SQLite format 3"}[harm]
            path.write_bytes(new)
    again = read(**tables, cache=tmp_path)
    same(again, cohort)
    same(again.panel(outcomes=["gp"]), whole)
    after = files(tmp_path)
    assert len(after) == len(before)
    for path in after.values():
        if path.name != ".gitignore":
            assert hashlib.sha256(path.read_bytes()).hexdigest()[:32] == path.stem[-32:]


def test_other_data_arms_and_names_are_read_anew(small, tmp_path):
    cache = tmp_path / "cache"

    def total(**more):
        return read(**small | more, cache=cache).panel(outcomes=["gp"]).outcomes["gp"].sum()

    def sets():
        return len([*cache.rglob("*.duckdb")])

    assert (total(), total(), sets()) == (4, 4, 1)
    people, contacts = (tmp_path / f"{name}.csv" for name in ("people", "contacts"))
    # The same size and the same time: only the content has changed.
    was = contacts.stat()
    contacts.write_text(contacts.read_text().replace("c,gp", "z,gp"))
    os.utime(contacts, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert (contacts.stat().st_size, total(), sets()) == (was.st_size, 3, 2)
    contacts.write_text(contacts.read_text().replace("z,gp", "c,gp"))
    assert (total(), sets()) == (4, 2)
    with people.open("a") as more:
        more.write("e,w,\nf,w,\n")
    assert (total(), total(control=["w"]), total(control=["y", "w"]), sets()) == (4, 1, 4, 5)
    people.write_text(people.read_text().replace("person_id,", "who,"))
    with pytest.raises(DataError, match="person_id"):
        total()
    assert (total(rename={"people": {"person_id": "who"}}), sets()) == (4, 6)


def test_errors_are_the_same(small, tmp_path):
    cache = tmp_path / "cache"

    def error(kind, **more):
        said = []
        for where in (None, cache, cache):
            with pytest.raises(kind) as found:
                read(**small | more, cache=where).panel(outcomes=["gp"])
            said.append(str(found.value))
        assert len(set(said)) == 1
        return said[0]

    read(**small, cache=cache)
    assert "arm 'q'" in error(DataError, control=["q"])
    assert "at least one arm" in error(ParameterError, treated=[])
    assert "at least one arm" in error(ParameterError, control="y")
    assert "nobody" not in error(impact.errors.ImpactError, rename={"peple": {}})
    (tmp_path / "contacts.csv").write_text("person_id,service,start\na,gp,soon\n")
    assert "contacts.start, readable" in error(DataError)
    (tmp_path / "contacts.csv").unlink()
    assert "is not there" in error(DataError)
    assert len([*cache.rglob("*.duckdb")]) == 1


def test_errors_of_a_ready_made_panel_are_the_same(long, tmp_path):
    for change in ({"outcomes": ["slips"]}, {"where": {"home": [99]}}, {"unit": "why"}, {"exposure": "why"}):
        said = []
        for where in (None, tmp_path, tmp_path):
            with pytest.raises(DataError) as found:
                read(panel=long["panel"] | change, cache=where)
            said.append(str(found.value))
        assert len(set(said)) == 1


def test_tables_in_memory_are_not_kept(small, tmp_path):
    people = pd.read_csv(small["people"])
    assert len(read(**small | {"people": people}, cache=tmp_path / "cache")) == 4
    assert not (tmp_path / "cache").exists()


def test_files_that_change_while_they_are_read_are_not_kept(small, tmp_path):
    def build(con):
        con.execute("CREATE TABLE t AS SELECT 1 AS x")
        with open(small["people"], "a") as file:
            file.write("e,y,\n")
        return {}

    sources = {"people": small["people"]}
    con, _, place = kept.opened(connect(), build, cache=tmp_path / "cache", sources=sources, asked=[])
    assert con.execute("FROM t").fetchall() == [(1,)]
    assert place is None
    assert not [*tmp_path.rglob("*.duckdb")]


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps who may read by other means")
def test_only_the_owner_can_read_what_is_kept(small, tmp_path):
    (tmp_path / "impact-kept").mkdir(mode=0o755)
    read(**small, cache=tmp_path)
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "impact-kept").rglob("*")}
    assert stat.S_IMODE((tmp_path / "impact-kept").stat().st_mode) == 0o700
    data = {p: mode for p, mode in modes.items() if p.name != ".gitignore"}
    assert {mode for p, mode in data.items() if p.is_dir()} == {0o700}
    assert {mode for p, mode in data.items() if p.is_file()} == {0o600}
    assert len(data) > 2


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_link_in_the_place_of_the_folder_is_left_alone(small, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (tmp_path / "impact-kept").symlink_to(elsewhere)
    assert len(read(**small, cache=tmp_path)) == 4
    assert [*elsewhere.iterdir()] == []
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755


def test_a_cache_that_cannot_be_is_none(small, tmp_path):
    same(read(**small, cache=small["people"]), read(**small))
    same(read(**small, cache=tmp_path / ("x" * 300)), read(**small))


def aged(path, days):
    os.utime(path, (time.time() - days * 86400,) * 2)


def test_old_sets_go(small, tmp_path):
    top = tmp_path / "impact-kept"
    names = {"a" * 32: 13, "b" * 32: 15, ".making-old": 2, ".making-now": 0, "notes": 99}
    for name, days in names.items():
        (top / name).mkdir(parents=True)
        (top / name / "file").write_text("x")
        aged(top / name, days)
    read(**small, cache=tmp_path)
    left = {p.name for p in top.iterdir()}
    assert names.keys() & left == {"a" * 32, ".making-now", "notes"}


def test_the_longest_unread_go_where_there_is_no_room(small, tmp_path, monkeypatch):
    top = tmp_path / "impact-kept"
    for i, name in enumerate("abc"):
        (top / (name * 32)).mkdir(parents=True)
        (top / (name * 32) / "file").write_bytes(b"x" * 1_000_000)
        aged(top / (name * 32), i + 1)
    monkeypatch.setattr(kept, "BYTES", 2_500_000)
    read(**small, cache=tmp_path)
    assert {p.name for p in top.iterdir()} >= {"a" * 32, "b" * 32}
    assert not (top / ("c" * 32)).exists()
    assert [*top.rglob("*.duckdb")]


def test_reading_what_is_kept_makes_it_young(small, tmp_path):
    read(**small, cache=tmp_path)
    (folder,) = [p for p in (tmp_path / "impact-kept").iterdir() if p.is_dir()]
    aged(folder, 10)
    read(**small, cache=tmp_path)
    assert folder.stat().st_mtime > time.time() - 60


def test_a_run_says_where(tmp_path, monkeypatch):
    (tmp_path / "params").mkdir()
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))
    monkeypatch.delenv("IMPACT_CACHE", raising=False)
    tables = {"people": "p.csv", "contacts": "c.csv"}
    study = impact.Study(data=tables, design={"treated": ["a"], "control": ["b"]}, outcomes=["gp"])
    by_unit = {"file": "f.csv", "unit": "u", "period": "m", "outcomes": ["gp"], "first_treated": "f"}
    panel = impact.Study(data={"panel": by_unit}, design={"months_after": 6}, outcomes=["gp"])
    assert "cache" not in study.source
    monkeypatch.setenv("IMPACT_CACHE", str(tmp_path / "kept"))
    assert study.source["cache"] == panel.source["cache"] == str(tmp_path / "kept")
