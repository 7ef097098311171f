"""What may not be said because a check speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from impact.disclosure import Released
from impact.pages.formats import inside, listed, number, numeric
from impact.pages.verdicts import Verdict, batch, verdicts

# More ways than this are counted and not named.
_NAMED = 3


def not_claimed(page: Mapping[str, Released], *, clear: bool, assignment: str) -> list[str]:
    """Say what the checks of a page forbid, with what was found.

    Parameters
    ----------
    page : mapping of name to Released
        ``pretrend`` and ``checks`` are looked at.
    clear : bool
        Whether the main result is clear: only then is there something for a change of analysis to overturn.
    assignment : str
        Where support was given by lot, no hidden reason decided who had it.
    """
    said = []
    if "pretrend" in page and float(numeric(page["pretrend"].table["p_value"])[0]) < 0.05:
        said.append("“Without support both groups would have changed alike”: before it they did not.")
    if "checks" not in page:
        return said
    against = [v for v in verdicts(page["checks"]) if v.agrees is False]
    for v in against:
        if v.check == "pretend":
            said.append(
                f"“The change began with support”: with {inside(v.changed)} there seems to be one too."
            )
        if v.check == "negative_control":
            said.append(
                f"“The groups differed in nothing but support”: {_other(v)} changed too, which "
                "support cannot do."
            )
    if clear:
        said += _overturned(against)
        said += _hidden([v for v in against if assignment != "randomised"], page["checks"])
    return said


def _other(v: Verdict) -> str:
    return v.changed.removeprefix("Its effect on ").partition(",")[0]


def _overturned(against: Sequence[Verdict]) -> list[str]:
    said = []
    same = [inside(v.changed) for v in against if v.asks == "same answer"]
    if same:
        named = f"not {listed(same)}" if len(same) <= _NAMED else f"{len(same)} other ways do not agree"
        said.append(f"“However it is worked out, the answer is the same”: {named}.")
    if bears := [inside(v.changed) for v in against if v.asks == "bears it"]:
        said.append(f"“The answer is sure whatever became of those not seen”: not {listed(bears)}.")
    return said


def _hidden(against: Sequence[Verdict], released: Released) -> list[str]:
    rows = [v.row for v in against if v.asks == "hidden reason"]
    if not rows:
        return []
    # Where there is no number, chance alone would do.
    times = np.nan_to_num(numeric(batch(released)["strength"].iloc[rows]), nan=1.0)
    how = f"that made people {number(times.min(), 2)} times as likely to get support"
    return [f"“Nothing else can explain it”: something nobody recorded {how} could."]
