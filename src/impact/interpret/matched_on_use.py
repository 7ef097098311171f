"""Whether people were matched on their earlier use, and what a trend before support is then worth."""

from __future__ import annotations

from impact.results import Matched

_USE = ("prior_", "trend_", "latest_")
NO_EVIDENCE = (
    "People were matched on their earlier use: that the two groups ran alike before support is the work of "
    "the matching, and no evidence that they would have gone on alike."
)


def on_use(sample: Matched) -> bool:
    """Whether people were matched or weighted on a count of their earlier use."""
    columns = [*sample.method.get("covariates", ()), *sample.method.get("exact", ())]
    return any(str(column).startswith(_USE) for column in columns)
