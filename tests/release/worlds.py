"""Random studies with everything that is published of them, and what a reader can work out of it.

The reader is the strongest there can be: people are counted in the finest cells there are, every count that
is shown is known to the last digit, and whole numbers of people must add up to all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from impact.disclosure import Policy, Released
from impact.results import Balance, Effects, Matched, Rates, Result, Summary

LEVELS = {
    "arm": ["supported", "control"],
    "sex": ["f", "m"],
    "age": ["<65", "65-74", "75+"],
    "tenure": ["rent", "own", "other"],
    "heart": ["1", "0"],
    "rule": ["matched", "too far"],
}
MONTHS = range(-4, 4)


@dataclass
class World:
    """People by all their attributes at once, and events by arm and month."""

    people: pd.DataFrame
    events: pd.DataFrame

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> World:
        """Attributes that depend on each other, some of them rare."""
        grid = pd.MultiIndex.from_product(LEVELS.values(), names=LEVELS).to_frame(index=False)
        shares = [dict(zip(v, rng.dirichlet(np.full(len(v), 0.8)), strict=True)) for v in LEVELS.values()]
        share = np.prod([grid[k].map(s) for k, s in zip(LEVELS, shares, strict=True)], axis=0)
        share = share * rng.gamma(2, size=len(grid))
        grid["n"] = rng.multinomial(int(rng.integers(40, 500)), share / share.sum())
        events = pd.MultiIndex.from_product([LEVELS["arm"], MONTHS], names=["arm", "period"])
        events = events.to_frame(index=False)
        events["n"] = rng.poisson(rng.choice([0.7, 4, 12]), len(events))
        return cls(grid, events)

    def where(self, **labels: str) -> NDArray[np.bool_]:
        """Which kinds of people a count is of."""
        mask = np.ones(len(self.people), bool)
        for label, level in labels.items():
            mask &= (self.people[label] == level).to_numpy()
        return mask


@dataclass
class Published:
    """Results, and of each count in them which kinds of people (or of events) it is of."""

    world: World
    results: dict[str, Result] = field(default_factory=dict)
    of: dict[tuple[str, str, int], NDArray[np.bool_]] = field(default_factory=dict)
    declared: list[tuple[str, NDArray[np.bool_], list[NDArray[np.bool_]]]] = field(default_factory=list)

    def count(self, mask: NDArray[np.bool_]) -> int:
        source = self.world.people if len(mask) == len(self.world.people) else self.world.events
        return int(source["n"][mask].sum())

    def add(self, name: str, table: pd.DataFrame, of: Mapping[str, list[NDArray[np.bool_]]]) -> pd.DataFrame:
        """Fill columns with their counts, and note what each is of."""
        for column, masks in of.items():
            table[column] = [self.count(mask) for mask in masks]
            self.of.update({(name, column, i): mask for i, mask in enumerate(masks)})
        return table

    def summary(self, name: str, rng: np.random.Generator) -> None:
        """A table by one to three attributes, perhaps with totals, of some people only, or wide by arm."""
        by = list(rng.permutation(list(LEVELS))[: rng.integers(1, 4)])
        among = {by.pop(): None} if len(by) > 1 and rng.random() < 0.3 else {}
        among = {label: str(rng.choice(LEVELS[label])) for label in among}
        total = by[0] if rng.random() < 0.4 else None
        rows = [
            dict(zip(by, row, strict=True))
            for row in pd.MultiIndex.from_product([[*LEVELS[b], *(["all"] * (b == total))] for b in by])
            .to_frame()
            .itertuples(index=False)
        ]
        masks = [self.world.where(**among, **{k: v for k, v in r.items() if v != "all"}) for r in rows]
        table = pd.DataFrame([{**among, **row} for row in rows])
        kind = rng.choice(["plain", "wide", "percent"])
        if kind == "wide" and "arm" not in [*by, *among]:
            of = {f"{arm}_persons": [m & self.world.where(arm=arm) for m in masks] for arm in LEVELS["arm"]}
            of["persons"] = masks
        elif kind == "percent" and total is None:
            everyone = self.world.where(**among)
            of = {"persons": masks, "all": [everyone] * len(masks)}
        else:
            of = {"persons": masks}
        self.add(name, table, of)
        percent = {}
        if "all" in of:
            table["percent"] = 100 * table["persons"] / table["all"].where(table["all"] > 0)
            percent = {"percent": ("persons", "all")}
        declared = [b for b in [*among, *by[1:]] if rng.random() < 0.4]
        for column, masks in of.items() if declared else ():
            own = zip(table[declared].itertuples(index=False), rows, masks, strict=True)
            parts: dict[tuple[str, ...], list[NDArray[np.bool_]]] = {}
            for key, row, mask in own:
                if row.get(total) != "all":
                    parts.setdefault(key, []).append(mask)
            if column != "all":
                self.declared += [(f"{name} {k} {column}", np.any(m, axis=0), m) for k, m in parts.items()]
        self.results[name] = Summary(table, {}, people=list(of), percent=percent, adds_up=declared)

    def baseline(self, name: str, rng: np.random.Generator) -> None:
        """People by level of each covariate, both arms side by side, as in a first table of a paper."""
        some = [k for k in ("sex", "age", "tenure", "heart") if rng.random() < 0.7] or ["sex"]
        rows = [(c, level) for c in some for level in LEVELS[c]]
        rows = [r for r in rows if r != ("heart", "0")]
        of: dict[str, list[NDArray[np.bool_]]] = {}
        for arm in LEVELS["arm"]:
            of[f"{arm}_persons"] = [self.world.where(arm=arm, **{c: level}) for c, level in rows]
            of[f"{arm}_all"] = [self.world.where(arm=arm)] * len(rows)
        table = self.add(name, pd.DataFrame(rows, columns=["covariate", "level"]), of)
        percent = {}
        for arm in LEVELS["arm"]:
            top, bottom = f"{arm}_persons", f"{arm}_all"
            table[f"{arm}_percent"] = 100 * table[top] / table[bottom].where(table[bottom] > 0)
            percent[f"{arm}_percent"] = (top, bottom)
        self.results[name] = Summary(table, {}, people=list(of), percent=percent)

    def balance(self, name: str) -> None:
        """Shares of yes-or-no covariates before and after matching, with the sizes of the samples."""
        samples: dict[str, dict[str, str]] = {"before": {}, "after": {"rule": "matched"}}
        arms = {"treated": "supported", "control": "control"}
        sizes = pd.DataFrame([(s, a) for s in samples for a in arms], columns=["sample", "arm"])
        masks = [self.world.where(arm=arms[a], **samples[s]) for s, a in sizes.to_numpy()]
        sizes["persons"] = [self.count(mask) for mask in masks]
        if (sizes["persons"] == 0).any():
            return
        self.of |= {(name, "counts.persons", i): mask for i, mask in enumerate(masks)}
        rows = [("sex", "f"), ("sex", "m"), *(("age", x) for x in LEVELS["age"]), ("heart", None)]
        table = pd.DataFrame(
            [(c, level, s) for s in samples for c, level in rows], columns=["covariate", "level", "sample"]
        )
        for arm, own in arms.items():
            n = sizes[sizes["arm"] == arm].set_index("sample")["persons"]
            means = []
            for i, (c, level, s) in enumerate(table[["covariate", "level", "sample"]].to_numpy()):
                mask = self.world.where(
                    arm=own, **samples[s], **{c: level if isinstance(level, str) else "1"}
                )
                means.append(self.count(mask) / n[s])
                self.of[name, f"mean_{arm}", i] = mask
            table[f"mean_{arm}"] = means
        table["smd"] = 0.1
        self.results[name] = Balance(table, {}, sizes.assign(ess=sizes["persons"].astype(float)))

    def matched(self, name: str) -> None:
        """How many of each arm were matched."""
        rows = [(arm, rule) for arm in LEVELS["arm"] for rule in LEVELS["rule"]]
        table = pd.DataFrame(rows, columns=["arm", "rule"])
        masks = [self.world.where(arm=arm, rule=rule) for arm, rule in rows]
        self.results[name] = Matched(
            pd.DataFrame({"person_id": []}), None, {}, self.add(name, table, {"persons": masks})
        )

    def effects(self, name: str) -> None:
        """An effect with the people and the events behind it: those of the supported since they are."""
        labels = pd.DataFrame({"outcome": ["ae"], "term": ["att"], "scale": ["difference"], "unit": [""]})
        told = self.world.events
        after = ((told["arm"] == "supported") & (told["period"] >= 0)).to_numpy()
        of = {"persons": [self.world.where()], "treated": [self.world.where(arm="supported")]}
        counts = self.add(name, pd.DataFrame(index=[0]), {**of, "events": [after]})
        self.results[name] = Effects(labels, np.ones(1), np.eye(1), np.arange(1), 8, {}, counts)

    def rates(self, name: str) -> None:
        """Events by arm and month."""
        table = self.world.events.rename(columns={"n": "events"}).assign(outcome="ae", step=1)
        for arm in LEVELS["arm"]:
            table.loc[table["arm"] == arm, "persons"] = self.count(self.world.where(arm=arm))
        table["persons"] = table["persons"].astype(int)
        table["person_months"] = table["persons"].clip(lower=1).astype(float)
        table["rate_per_1000_person_months"] = 1000 * table["events"] / table["person_months"]
        self.results[name] = Rates(table, {})

    def naive(self, name: str) -> None:
        """Events of both arms before and after the start, in one row."""
        now, arm = self.world.events["period"] >= 0, self.world.events["arm"]
        of = {
            f"{a}_{when}_events": [((arm == a) & (now == (when == "after"))).to_numpy()]
            for a in LEVELS["arm"]
            for when in ("before", "after")
        }
        table = self.add(name, pd.DataFrame({"outcome": ["ae"]}), of)
        people = {"persons": [self.world.where()]}
        self.results[name] = Summary(self.add(name, table, people), {}, people=["persons"], events=list(of))

    def perhaps_none(self, rule: Policy) -> set[bytes]:
        """Counts that may be zeros though zeros are shown: those of a total that has no room for so many."""
        return {
            part.tobytes()
            for _, mask, parts in self.declared
            for part in parts
            if self.count(mask) < max(rule.smallest_shown, rule.smallest_shown - 2 + len(parts))
        }

    def shown(
        self, released: Mapping[str, Released], rule: Policy
    ) -> Iterator[tuple[str, NDArray[np.bool_], bool]]:
        """Each count: its name, what it is of, and whether it is shown."""
        for name, one in released.items():
            if one.kind == "rates":
                for i, row in one.table.iterrows():
                    own = self.world.events["arm"] == row["arm"]
                    period = self.world.events["period"]
                    own &= (period >= row["period"]) & (period < row["period"] + row["step"])
                    yield f"{name} {i} events", own.to_numpy(), not pd.isna(row["events"])
                    persons = self.world.where(arm=row["arm"])
                    yield f"{name} {i} persons", persons, not pd.isna(row["persons"])
        # Totals that the reader is declared to know: not those that the report counts itself, which are known
        # if it shows them, nor one too small to show.
        counted = {mask.tobytes() for (name, _, _), mask in self.of.items() if name in released}
        for name, mask, _ in self.declared:
            if mask.tobytes() not in counted and not rule.small(self.count(mask)):
                yield name, mask, True
        for (name, column, i), mask in self.of.items():
            if name in released:
                one = released[name]
                of = one.counts["persons"] if column == "counts.persons" else one.table[column]
                yield f"{name} {i} {column}", mask, not pd.isna(of.iloc[i])


def given_away(
    counts: list[tuple[str, NDArray[np.bool_], bool]],
    n: NDArray[np.int64],
    rule: Policy,
    perhaps_none: Collection[bytes] = (),
    *,
    as_printed: bool = False,
) -> list[str]:
    """What a reader of exact counts finds out: each withheld small count that misses a value it should have.

    ``n`` is how many there are of each kind; a count is of the kinds in its mask. ``as_printed`` is one
    who has the counts as they are printed, and no others.
    """
    masks: dict[bytes, list] = {}
    for name, mask, is_shown in counts:
        entry = masks.setdefault(mask.tobytes(), [name, mask, False])
        entry[2] |= is_shown
    value = {k: int(n[mask].sum()) for k, (_, mask, _) in masks.items()}
    gone = [k for k, entry in masks.items() if not entry[2]]
    known = [k for k, entry in masks.items() if entry[2]]
    # Where zeros are shown, what is withheld is none, unless zeros had to go as well.
    some = rule.zero_shown and all(value[k] for k in gone)
    least = [int(some and k not in perhaps_none) for k in gone]
    said = [int(rule.zero_shown and value[k] > 0 and k not in perhaps_none) for k in gone]
    rows = np.array([masks[k][1] for k in [*gone, *known]], float)
    alike = [_alike(value[k], rule) if as_printed else [value[k]] for k in known]
    low = np.r_[least, [min(some) for some in alike]]
    high = np.r_[np.full(len(gone), np.inf), [max(some) for some in alike]]
    found = []
    seen: dict[bytes, set[int]] = {k: {value[k]} for k in gone}
    rng = np.random.default_rng(0)
    for at, k in enumerate(gone):
        if not rule.protected(value[k]):
            continue
        # What the rule alone says: each withheld count is said to be some, so k of them hold k or more.
        alone = _solve(rows[at], rows, np.r_[said, np.zeros(len(known))], np.full(len(rows), np.inf))
        assert alone is not None
        start = max(int(rule.zero_shown), round(rows[at] @ alone))
        for target in range(start, rule.smallest_shown):
            if target in seen[k]:
                continue
            lows, highs = low.copy(), high.copy()
            lows[at] = highs[at] = target
            solved = _solve(rng.normal(size=len(n)), rows, lows, highs, top=4 * n.sum())
            if solved is None:
                found.append(f"{masks[k][0]}: {value[k]} cannot be {target}")
                break
            for other in gone:
                seen[other].add(round(masks[other][1] @ solved))
    return found


def _alike(n: int, rule: Policy) -> list[int]:
    """What else may be printed as this count is."""
    near = range(max(0, n - 2 * rule.round_to), n + 2 * rule.round_to + 1)
    return [m for m in near if rule.rounded(m) == rule.rounded(n) and not rule.small(m)]


def _solve(
    cost: NDArray[np.float64], rows: NDArray[np.float64], low: NDArray[np.float64],
    high: NDArray[np.float64], *, top: float = np.inf,
) -> NDArray[np.float64] | None:  # fmt: skip
    size = len(cost)
    found = milp(
        cost, integrality=np.ones(size), bounds=Bounds(0, top), constraints=LinearConstraint(rows, low, high)
    )
    return found.x
