"""Did the groups already move apart before support began?"""

from __future__ import annotations

import numpy as np

from impact.errors import DesignError
from impact.numbers.inference import wald
from impact.results import Effects, Test


def pretrend_test(effects: Effects) -> Test:
    """Test that all effects before support (and before its anticipation) are zero together.

    The Wald test of Callaway and Sant'Anna (2021), with the chi-square distribution as in R's ``did``. It
    rejects too often where the effects tested are not few beside the clusters; a pass is no proof that
    trends are parallel.

    Parameters
    ----------
    effects : Effects
        With ``event_time``: by start and period, or averaged by event time.

    Raises
    ------
    DesignError
        If there is no effect before support, or there are more than the data can test together.
    """
    from scipy.special import gammaincc

    labels = effects.labels
    if "event_time" not in labels:
        raise DesignError("pretrend_test needs effects by event time: none of these has one.")
    early = labels["event_time"].to_numpy(float, na_value=np.nan) < -effects.method.get("anticipation", 0)
    early &= labels["scale"].isin(["difference", "log ratio"]).to_numpy()
    if not early.any():
        raise DesignError(
            "pretrend_test: there is no effect before support; begin the window two or more periods "
            "before it."
        )
    tested = effects.select(early)
    statistic, df = wald(tested.estimate, tested.vcov)
    notes = []
    if df > np.min(effects.df) / 10:
        notes.append(
            f"{df} effects are tested with {effects.method['clusters']} clusters: the test rejects too "
            "often. Average by event time, or use longer periods."
        )
    method = {**effects.method, "shows": "pre-trend test", "tested": int(df), "notes": notes}
    p_value = float(gammaincc(df / 2, statistic / 2))
    return Test("pre-trends are zero", statistic, float(df), p_value, method, tested.counts)
