"""Which starts and periods of a regression can be compared, so that no effect rests on a single cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from impact.did.regression import Clusters, Mask, Sample, followed
from impact.errors import DesignError


@dataclass(frozen=True, eq=False)
class Comparable:
    """What can be compared in a regression with an effect for each start and period.

    Parameters
    ----------
    sample : Sample
        People sorted by start.
    codes : array (n,)
        Their clusters, numbered from 0.
    total : int
        How many clusters there are.
    treated : array (G, T)
        The cells with an effect of their own.
    others : array (G, 1)
        The groups whose time without an effect shows how periods differ.
    effects : 'person' or 'cohort'
        With an effect for each person only people who are at risk several times say anything.
    few : int
        So many clusters of controls are fitted without a residual: each period has effects of the covariates.
    """

    sample: Sample
    codes: NDArray[np.int64]
    total: int
    treated: Mask
    others: Mask
    effects: str
    few: int

    def cells(self, clusters: Clusters) -> Mask:
        """Leave out what has fewer than two clusters: cells, groups before support, and periods' controls."""
        use = clusters.by_cell > 0
        while True:
            base, telling = use & ~self.treated, clusters
            if self.effects == "person":
                telling = Clusters(self._telling(use), self.codes, self.total)
            kept = use & (telling.by_period(base & self.others).sum(0) > self.few)
            kept &= ~self.sample.supported | (clusters.by_group(base)[:, None] > 1)
            kept &= ~self.treated | (telling.by_cell > 1)
            if (kept == use).all():
                break
            use = kept
        if not (use & self.treated & (self.sample.event >= 0)).any():
            raise DesignError(
                f"outcome={self.sample.name!r}: no group can be compared: each has a single cluster at risk "
                "before and with support, or no controls (more clusters than covariates). Use longer periods "
                "or wider controls."
            )
        return use

    def _telling(self, use: Mask) -> Sample:
        """Leave out who is never at risk without an effect, and the first time of those who join late."""
        seen, sizes = self.sample.time > 0, np.diff(self.sample.edges)
        base, own = (seen & np.repeat(use & cells, sizes, axis=0) for cells in (~self.treated, self.treated))
        own &= base.any(1, keepdims=True)
        return replace(self.sample, time=np.where(followed(base) | own, self.sample.time, 0.0))
