"""What an effect would be if people with support remember otherwise than people without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from impact.errors import ParameterError
from impact.results import Effects


def recalled(effects: Effects, *, supported: float, control: float) -> Effects:
    """Correct ratios of counts that people were asked for, where they told so many times too many.

    Reported counts are taken to be true ones times one plus the error of each side. An error that both sides
    share leaves the ratio as it is; what misleads is that one side remembers otherwise.

    Parameters
    ----------
    effects : Effects
        With log ratios.
    supported, control : float
        Errors as shares: -0.36 where 36% are forgotten, 0.35 where 35% too many are told.

    Returns
    -------
    Effects
        The ratios corrected; other scales are left out, as are the errors' own errors.

    Raises
    ------
    ParameterError
        For an error of -1 or less: of nothing that is told nothing can be corrected.

    References
    ----------
    Rothman, Greenland and Lash (2008), Modern Epidemiology, ch. 19: bias from misclassified outcomes.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> from impact.match import rate_ratio
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0], "visits": [1, 2, 4, 2]})
    >>> told = rate_ratio(Cohort.from_frame(frame, treated="helped", outcomes=["visits"]), outcome="visits")
    >>> round(float(np.exp(recalled(told, supported=-0.5, control=0).estimate[0])), 3)
    1.0
    """
    for name, error in (("supported", supported), ("control", control)):
        if not error > -1:
            raise ParameterError(f"{name}={error}: give an error above -1, such as -0.36 for 36% forgotten.")
    kept = effects.select(effects.labels["scale"] == "log ratio")
    moved = kept.estimate + np.log1p(control) - np.log1p(supported)
    return replace(kept, estimate=moved, overall=None, critical=None)
