"""Whether the effect hangs on controls whom support may have reached: neighbours of people supported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from impact import match
from impact.data import Cohort, LongData
from impact.interpret.matched_comparison import compare, matched, whole
from impact.match.spillover import home
from impact.results import Matched, Result


def spillover(
    data: Cohort | LongData,
    sample: Matched,
    *,
    by: str | None,
    compared: Mapping[str, Any],
    baseline: Mapping[str, Any],
    matching: Mapping[str, Any],
) -> dict[str, Result]:
    """Compare again without controls who share a building or household with anyone supported.

    Parameters
    ----------
    data : Cohort or LongData
    sample : Matched
        Its sets go on without these controls; weights without sets are made again for those who are left.
    by : str or None
        The column; without it nothing is compared.
    compared : mapping
        Arguments of ``compare``.
    baseline, matching
        As for ``matched``.

    Returns
    -------
    dict
        ``spillover``, one effect an outcome, to be set beside those of ``sample``.
    """
    if by is None:
        return {}
    in_sets = sample.table.loc[sample.table["weight"] > 0, "subclass"].notna().all()
    left = (
        match.spillover(sample, by=by)
        if in_sets
        else matched(data, baseline=baseline, matching={**matching, "apart": by})
    )
    effects = whole(compare(left, **compared))
    return {"spillover": replace(effects, method={**effects.method, "spillover": home(by)})}
