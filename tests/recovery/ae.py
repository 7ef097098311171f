"""Pretend start months among A&E departments: how often is an effect found where there is none?

As in ``params/ae_placebo.yaml``: monthly returns of NHS trusts from April 2016 to March 2019, of which some
40% are given a start month between April 2017 and June 2018, drawn anew each time. No programme began in
them, so a test at 5% should find an effect in 5% of the draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from seeds import rows_of

from impact import did
from impact.data import read_panel
from impact.data.longdata import LongData
from impact.errors import ImpactError

OUTCOMES = ("attendances", "breaches")
SHARE, FIRST, LAST = 0.4, "2017-04", "2018-06"
# Months that all may start in, for the estimators that need one start: the middle of those that may be drawn.
MIDDLE = "2017-11"


@dataclass(frozen=True)
class Default:
    """An estimator as it comes, but for what the data do not allow."""

    estimator: str
    scale: str
    arguments: dict[str, Any] = field(default_factory=dict)
    together: bool = False
    only: tuple[str, ...] = OUTCOMES

    @property
    def name(self) -> str:
        return f"{self.estimator}({', '.join(f'{k}={v!r}' for k, v in self.arguments.items())})"


def _defaults() -> list[Default]:
    found = []
    for family, scale in (("poisson", "log ratio"), ("linear", "difference")):
        found += [
            Default("two_by_two", scale, {"family": family}, together=True),
            Default("twfe", scale, {"family": family}, together=True),
            Default("etwfe", scale, {"family": family}),
            Default("stacked", scale, {"family": family}),
        ]
    alone = ("callaway_santanna", "sun_abraham", "imputation")
    found += [Default(name, "difference") for name in alone]
    return [*found, Default("synthetic_did", "difference", together=True, only=("attendances",))]


DEFAULTS = _defaults()


@cache
def returns(file: str) -> LongData:
    return read_panel(
        file=file, unit="org_code", period="period", outcomes=list(OUTCOMES), where={"type": "1"}
    )


def replicate(
    seed: int, *, file: str, outcomes: Sequence[str] = OUTCOMES, defaults: Sequence[Default] = DEFAULTS
) -> list[dict[str, Any]]:
    """Every estimator on one draw of the start months: the p-value of each, or why there is none."""
    data, rows = returns(file), []
    panels = {
        together: data.with_placebo(share=SHARE, start=first, end=last, seed=seed).panel()
        for together, first, last in ((True, MIDDLE, MIDDLE), (False, FIRST, LAST))
    }
    for default in defaults:
        panel = panels[default.together]
        if default.estimator == "synthetic_did":
            # It needs every return of every month.
            panel = panel.subset(np.all([time > 0 for time in panel.exposure.values()], axis=(0, 2)))
        for outcome in [name for name in outcomes if name in default.only]:
            row = {"method": default.name, "outcome": outcome, "seed": seed, "refused": ""}
            try:
                effects = did.ESTIMATORS[default.estimator](panel, outcome=outcome, **default.arguments)
                table = did.summarise(effects).table.set_index("scale")
                row |= table.loc[default.scale, ["estimate", "std_error", "p_value"]].to_dict()
            except ImpactError as error:
                row["refused"] = str(error)
            rows.append(row)
    return rows


def replicates(draws: int, *, workers: int = 1, **how: Any) -> pd.DataFrame:
    """The draws 0, 1, ... of the start months."""
    return pd.DataFrame(rows_of(partial(replicate, **how), draws, workers=workers))


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Share of the draws in which an effect was found at 5%, with its Monte Carlo error at that level."""
    there = results["refused"] == ""
    found = (results["p_value"] < 0.05).astype(float).where(there & results["p_value"].notna())
    frame = results.assign(rejected=found, refused=~there)
    out = frame.groupby(["method", "outcome"], sort=False).agg(
        rejected=("rejected", "mean"),
        draws=("rejected", "count"),
        refused=("refused", "mean"),
        sd=("estimate", "std"),
        se=("std_error", "mean"),
    )
    out["error"] = np.sqrt(0.05 * 0.95 / out["draws"])
    return out.reset_index()
