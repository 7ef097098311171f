"""Effects by start and period in one joint vector, with what turns them into averages and into events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from impact.data.panel import Panel
from impact.did.design import clusters_at_risk, in_columns, period_name
from impact.numbers.inference import cluster_codes
from impact.results import Blocks, Effects

Array = NDArray[np.float64]
Influence = Callable[[slice, Array], Array]


class Cell(NamedTuple):
    """One group in one period.

    ``group`` and ``period`` are positions; ``estimate`` is ATT(g, t) in the unit of the rate (linear) or the
    events expected without support (Poisson); ``counts`` has ``persons, treated, clusters, events``. A cell
    with a ``scale`` of its own is a hidden row beside these, such as a coefficient of the model.
    """

    group: int
    period: int
    estimate: float
    counts: dict[str, int]
    scale: str | None = None


class Joint:
    """Gathers the cells of one or more outcomes; the people of ``panel`` are sorted by their start.

    Beside the cells stand the rows by which they are averaged, each with its own error: the ``share`` of
    each group, and each cell's observed ``events`` and ``person-months``. The root of all of them is made
    block by block: people by cells is never stored.
    """

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        # Looked up for each of thousands of rows, for which an index of dates makes a new one each time.
        self._periods = panel.periods.tolist()
        self._period_names = [period_name(period) for period in self._periods]
        self.codes, self.clusters = cluster_codes(panel.cluster)
        groups, first = np.unique(panel.start, return_index=True)
        ends = np.append(first[1:], panel.n)
        self.members = {int(g): slice(int(a), int(b)) for g, a, b in zip(groups, first, ends, strict=True)}
        self.names: list[str] = []
        self._labels: list[dict[str, Any]] = []
        self._estimate: list[float] = []
        self._counts: list[dict[str, int]] = []
        self._makes: list[tuple[slice, Influence]] = []

    def add(
        self,
        name: str,
        cells: Sequence[Cell],
        influence: Influence,
        *,
        family: Literal["linear", "poisson"] = "linear",
        factor: float = 1.0,
    ) -> None:
        """Add the cells of one outcome.

        Parameters
        ----------
        name : str
            The outcome.
        cells : sequence of Cell
        influence : callable
            ``influence(rows, by)`` gives the influence of the people in the slice ``rows`` on the cells'
            estimates times ``by`` (cells, j), an array (rows, j). Expected events vary with who is in the
            sample as well: each person's own part of them less the total times ``spread`` belongs to it.
        family : 'linear' or 'poisson'
        factor : float
            Of the variance, for few clusters; of shares, events and person-time as well, so that the part of
            a ratio's error that events and expected events share cancels.
        """
        self.names.append(name)
        whose = [c for c in cells if c.scale is None and (family == "poisson" or c.period >= c.group)]
        hidden = _Hidden(self, name, whose)
        first, kind = len(self._labels), "difference" if family == "linear" else "expected"
        for c in cells:
            self._row(name, c.scale or kind, c.estimate, c.counts, c.group, c.period)
        logs = self._ratios(name, cells, hidden) if family == "poisson" else np.zeros((len(hidden), 0))
        for scale, (g, t), value in hidden.rows:
            self._row(name, scale, value, hidden.counts, g, t)
        k, n_logs, root_of_factor = len(cells), logs.shape[1], np.sqrt(factor)

        def make(rows: slice, by: Array) -> Array:
            of_cells, of_logs, of_hidden = np.split(by, [k, k + n_logs])
            if n_logs:
                of_cells = of_cells + logs[:k] @ of_logs
                of_hidden = of_hidden + logs[k:] @ of_logs
            out = hidden.influence(rows, of_hidden)
            if of_cells.any():
                out += influence(rows, of_cells)
            return np.asarray(root_of_factor * out)

        self._makes.append((slice(first, len(self._labels)), make))

    def hit(self, members: slice, who: Any) -> NDArray[np.bool_]:
        """Say which clusters have one of these people for whom ``who`` is true, (clusters,)."""
        out = np.zeros(len(self.clusters), bool)
        out[self.codes[members][who]] = True
        return out

    def people(self, at_risk: Any, own: int, controls: Any) -> tuple[int, int]:
        """Count the people at risk (n,) behind a cell, and the supported among them, each person once.

        ``own`` is the rank of the cell's start and ``controls (G,)`` the starts compared with it.
        """
        supported = np.arange(len(self.members)) == own
        sizes = [m.stop - m.start for m in self.members.values()]
        both, mine = (
            self.panel.persons(at_risk & np.repeat(g, sizes)) for g in (supported | controls, supported)
        )
        return both, mine

    def spread(self, name: str) -> Array:
        """Each person's share of the weight of all who are ever at risk, (n,)."""
        w = self.panel.weights * (self.panel.exposure[name] > 0).any(1)
        return np.asarray(w / w.sum())

    def effects(self, method: Mapping[str, Any]) -> Effects:
        """Join what was gathered."""
        k, n = len(self._labels), self.panel.n

        def make(rows: slice, by: Array) -> Array:
            out = np.zeros((rows.stop - rows.start, by.shape[1]))
            for where, part in self._makes:
                if by[where].any():
                    out += part(rows, by[where])
            return out

        people = Blocks((n, k), make)
        root = people if len(self.clusters) == n else _summed(people, self.codes, len(self.clusters))
        used = [clusters_at_risk(self.panel, name) for name in self.names]
        return Effects(
            labels=in_columns(self._labels),
            estimate=np.array(self._estimate),
            root=root,
            clusters=self.clusters,
            df=min(used) - 1,
            method={
                **method,
                "per": self.panel.per,
                "rate_scale": self.panel.rate_scale,
                "clusters": min(used),
                "seed": None,
            },
            counts=pd.DataFrame(self._counts)[["persons", "treated", "clusters", "events"]],
        )

    def _ratios(self, name: str, cells: Sequence[Cell], hidden: _Hidden) -> Array:
        """Add log(O / M) of the cells where it exists; return its derivatives by cells and hidden rows."""
        columns = []
        for j, c in enumerate(cells):
            if c.scale is not None:
                continue
            at = hidden.position("events", c.group, c.period)
            observed = hidden.rows[at][2]
            if observed > 0 and c.estimate > 0:
                self._row(name, "log ratio", np.log(observed / c.estimate), c.counts, c.group, c.period)
                column = np.zeros(len(cells) + len(hidden))
                column[j], column[len(cells) + at] = -1 / c.estimate, 1 / observed
                columns.append(column)
        return np.array(columns).T if columns else np.zeros((len(cells) + len(hidden), 0))

    def _row(
        self, name: str, scale: str, value: float, counts: dict[str, int], g: int, t: int | None
    ) -> None:
        periods, names = self._periods, self._period_names
        label: dict[str, Any] = {"outcome": name, "term": scale, "scale": scale, "unit": scale}
        label |= {"group": periods[g], "period": None, "event_time": None}
        if t is not None:
            label |= {"period": periods[t], "event_time": t - g}
        if t is not None and scale in ("difference", "log ratio"):
            label["term"] = f"ATT({names[g]}, {names[t]})"
        if scale == "difference":
            label["unit"] = self.panel.per
        self._labels.append(label)
        self._estimate.append(float(value))
        self._counts.append(counts)


class _Hidden:
    """Shares, person-time and events: totals whose root is centred by spreading them over all people."""

    def __init__(self, joint: Joint, name: str, cells: Sequence[Cell]) -> None:
        panel = joint.panel
        self.members, self.spread = joint.members, joint.spread(name)
        w = panel.weights[:, None]
        if panel.censoring_weights is not None:
            w = w * panel.censoring_weights
        self.values = {"person-months": (w, panel.exposure[name]), "events": (w, panel.outcomes[name])}
        groups = list(dict.fromkeys(c.group for c in cells))
        self.rows: list[tuple[str, tuple[int, int | None], float]] = [
            ("share", (g, None), float(self.spread[joint.members[g]].sum())) for g in groups
        ]
        for scale, (w, value) in self.values.items():
            totals = {g: (w[m] * value[m]).sum(0) for g in groups for m in [joint.members[g]]}
            self.rows += [(scale, (c.group, c.period), float(totals[c.group][c.period])) for c in cells]
        self._at = {(scale, *cell): j for j, (scale, cell, _) in enumerate(self.rows)}
        self._of = {
            (scale, g): np.array([j for j, (s, c, _) in enumerate(self.rows) if s == scale and c[0] == g])
            for scale in ("share", *self.values)
            for g in groups
        }
        self._period = np.array([-1 if c[1] is None else c[1] for _, c, _ in self.rows])
        self._total = np.array([total for *_, total in self.rows])
        at_risk = self.spread > 0
        self.counts = {"persons": panel.persons(at_risk), "treated": 0, "events": 0}
        self.counts["clusters"] = clusters_at_risk(panel, name)

    def __len__(self) -> int:
        return len(self.rows)

    def position(self, scale: str, g: int, t: int) -> int:
        """Which row a cell's events or person-time are in."""
        return self._at[scale, g, t]

    def influence(self, rows: slice, by: Array) -> Array:
        """Return the influence of the people in ``rows`` on these rows times ``by``."""
        out = np.multiply.outer(-self.spread[rows], self._total @ by)
        for (scale, g), at in self._of.items():
            low, high = max(rows.start, self.members[g].start), min(rows.stop, self.members[g].stop)
            if low >= high or not by[at].any():
                continue
            inside, here = slice(low - rows.start, high - rows.start), slice(low, high)
            if scale == "share":
                out[inside] += np.multiply.outer(self.spread[here], by[at[0]])
            else:
                w, value = self.values[scale]
                out[inside] += (w[here] * value[here])[:, self._period[at]] @ by[at]
        return out


def _summed(people: Blocks, codes: NDArray[np.int64], clusters: int) -> Array | Blocks:
    """Sum the rows of people within their clusters."""

    def make(_: slice, by: Array) -> Array:
        out, at = np.zeros((clusters, by.shape[1])), 0
        for block in people.blocks(by):
            b = len(block)
            here = (codes[at : at + b], np.arange(b))
            out += np.asarray(csr_array((np.ones(b), here), shape=(clusters, b)) @ block)
            at += b
        return out

    root = Blocks((clusters, people.shape[1]), make, clusters)
    # A few sites are summed once; many small clusters again each time, as their root would be larger than
    # the data.
    return root @ np.eye(root.shape[1]) if clusters * 20 <= len(people) else root
