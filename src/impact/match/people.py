"""The people of a cohort as every method takes them: sorted by identifier, with covariates and strata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.match.propensity import Array, Design, Missing, Rows, both_arms, columns, design, in_id_order
from impact.results import Matched, Weighting

if TYPE_CHECKING:
    from impact.data import Cohort


@dataclass(frozen=True, eq=False)
class People:
    """Everyone in a cohort, sorted by ``person_id`` so that no result depends on the order of rows.

    ``order (n,)`` leads from here to the cohort's rows; ``group (n,)`` numbers the strata within which people
    may be matched (equal in all of ``exact``). ``filled`` says of each column for how many people it was
    missing; in ``exact`` missing is a value like others.
    """

    cohort: Cohort
    order: Rows
    frame: pd.DataFrame
    treated: NDArray[np.bool_]
    covariates: Design
    exact: list[str]
    group: Rows
    missing: Missing = "error"
    filled: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, cohort: Cohort, *, on: Sequence[str], exact: Sequence[str] = (), missing: Missing = "error"
    ) -> People:
        """Sort the people and look up their covariates; ``missing`` and errors as of ``propensity``."""
        both_arms(cohort)
        order = in_id_order(cohort)
        # A million rows that are in order already are not copied.
        frame = cohort.table if (np.diff(order) > 0).all() else cohort.table.iloc[order]
        return cls.described_by(
            frame, cohort, order, cohort.treated[order], on=on, exact=exact, missing=missing
        )

    @classmethod
    def described_by(
        cls,
        frame: pd.DataFrame,
        cohort: Cohort,
        order: Rows,
        treated: NDArray[np.bool_],
        *,
        on: Sequence[str],
        exact: Sequence[str] = (),
        missing: Missing = "error",
    ) -> People:
        """Look up covariates in a frame of rows that are sorted."""
        exact = columns(frame, exact, "exact", missing=missing) if len(exact) else []
        covariates = design(frame, on, missing=missing)
        gaps = {name: int(frame[name].isna().sum()) for name in exact}
        filled = {**covariates.filled, **{name: n for name, n in gaps.items() if n}}
        return cls(cohort, order, frame, treated, covariates, exact, same(frame, exact), missing, filled)

    @property
    def on(self) -> list[str]:
        """Names of the covariates, once each."""
        return list(dict.fromkeys(self.covariates.names["covariate"]))

    @property
    def described(self) -> dict[str, Any]:
        """What every method says of the people it matched: ``covariates, exact, missing, filled``."""
        return {
            "covariates": self.on,
            "exact": self.exact,
            "missing": self.missing,
            "filled": dict(self.filled),
        }

    def matched(
        self,
        weight: Array,
        *,
        subclass: Rows | None = None,
        score: Array | None = None,
        method: Mapping[str, Any],
        counts: pd.DataFrame,
        weighting: Weighting | None = None,
    ) -> Matched:
        """Return the sample of a method in which each person has one row.

        Parameters
        ----------
        weight : array (n,)
            0 for who is not used.
        subclass : array (n,) of int, optional
            Number of a person's set or stratum from 1, 0 for none.
        score : array (n,), optional
        method : mapping
            At least estimator, estimand, distance, replace and clusters; ``described`` is added.
        counts : DataFrame
            ``arm, rule, persons``.
        weighting : Weighting, optional
            Rows in the order of the people here.
        """
        back = np.argsort(self.order)
        number = np.zeros(len(weight), np.intp) if subclass is None else subclass
        table = pd.DataFrame(
            {
                "person_id": np.asarray(self.cohort.person_id),
                "weight": weight[back],
                "subclass": pd.array(number[back], dtype="Int64"),
                "distance": np.nan if score is None else score[back],
            }
        )
        table.loc[table["subclass"] == 0, "subclass"] = pd.NA
        there = None if weighting is None else weighting.rows(back)
        return Matched(table, self.cohort, {**method, **self.described}, counts, there)


def same(frame: pd.DataFrame, names: Sequence[str]) -> Rows:
    """Number the rows of a frame so that rows equal in all the named columns share a number."""
    code = np.zeros(len(frame), np.intp)
    for name in names:
        levels, kinds = pd.factorize(frame[name], sort=False)
        code = np.asarray(pd.factorize(code * (len(kinds) + 1) + levels)[0], np.intp)
    return code
