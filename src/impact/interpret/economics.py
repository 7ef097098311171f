"""What a change in contacts means in money: care avoided, cash, and the cost of support beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from impact.errors import DesignError, ParameterError
from impact.interpret.price_lists import appraisal, refuse_overlapping
from impact.results import Costs, Effects


def costs(effects: Effects, prices: pd.DataFrame, **more: Any) -> dict[str, Costs]:
    """Return ``cost_avoided`` under ``money``, as a page shows it; nothing where no prices were asked for."""
    return {"money": cost_avoided(effects, prices, **more)} if len(prices) else {}


def cost_avoided(
    effects: Effects,
    prices: pd.DataFrame,
    *,
    support_cost_per_person: float | None = None,
    months: int = 12,
    discount_rate: float | None = None,
    extend_to: Mapping[str, float] | None = None,
) -> Costs:
    """Cost of the activity avoided over several services, what of it is cash, and the balance with support.

    The effects are added with their joint covariance (``Effects.combine`` with the prices as weights): the
    same people use all services, so that variances must not be added as if services were independent.

    Parameters
    ----------
    effects : Effects
        With events avoided for every service of the prices.
    prices : DataFrame
        Of ``price_list``.
    support_cost_per_person : float, optional
        In pounds of the same year.
    months : int
        Of the follow-up. What is avoided after the first 12 is discounted, as if it were spread evenly.
    discount_rate : float, optional
        A year; without it that of the Green Book, 3.5%.
    extend_to : mapping, optional
        ``people`` who may be offered support, ``take_up`` (the share who take it), and ``optimism_bias``, the
        share by which support is taken to be dearer there.

    Raises
    ------
    DesignError
        For a service whose effect has no number of contacts avoided.
    ParameterError
        For services that count the same stays, and for a share that is none.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from impact.interpret import price_list
    >>> labels = pd.DataFrame({"outcome": ["bed_days"], "term": "effect", "scale": "events avoided",
    ...                        "unit": "events"})
    >>> counts = pd.DataFrame({"persons": [400], "treated": [200], "clusters": [400], "events": [900]})
    >>> nights = Effects(labels, np.array([100.0]), np.array([[50.0]]), np.array([0]), 399, {}, counts)
    >>> found = cost_avoided(nights, price_list(["bed_days"], price_year="2020/21"),
    ...                      support_cost_per_person=300)
    >>> found.table.set_index("item")["estimate"].round().loc[["activity", "cashable", "net_cash"]].tolist()
    [103209.0, 34460.0, -25540.0]
    """
    services = prices["service"].tolist()
    refuse_overlapping(services)
    avoided = effects.labels["scale"] == "events avoided"
    wanted = effects.labels["outcome"].isin(services)
    known = effects.labels.loc[avoided & wanted, "outcome"]
    if without := [name for name in services if name not in set(known)]:
        raise DesignError(
            f"money: the effect on {without[0]!r} has no number of contacts avoided (ratios and averages "
            "over people have none), so it has no cost; leave it out of money.count."
        )
    if (shares := effects.labels.loc[wanted & (effects.labels["unit"] == "per 100 people"), "outcome"]).any():
        raise DesignError(
            f"money: the effect on {shares.iloc[0]!r} is on how many people have any, and a price is of one "
            "contact; use a model of counts, such as poisson."
        )
    if known.duplicated().any():
        raise DesignError("money: it needs one effect for each service, over the whole time.")
    for name, share in (extend_to or {}).items():
        if name == "take_up" and not 0 < share <= 1:
            raise ParameterError(
                f"money.extend_to.take_up: expected a share above 0 and up to 1, found {share}."
            )
    rate = float(appraisal("discount_rate")["value"]) if discount_rate is None else discount_rate
    counted = effects.select(wanted.to_numpy())
    method = {k: v for k, v in effects.method.items() if k != "notes"}
    method |= {"price_year": prices.attrs["price_year"], "index": prices.attrs["index"], "months": months}
    method |= {
        "discount_rate": rate if months > 12 else 0.0,
        "support_cost_per_person": support_cost_per_person,
    }
    rest = effects.labels["outcome"].drop_duplicates()
    method |= {"not_counted": [name for name in rest if name not in services]}
    method |= {"extend_to": dict(extend_to) if extend_to else None}
    people = float(effects.counts.loc[avoided & wanted, "treated"].max())
    return Costs(
        counted,
        prices.reset_index(drop=True),
        people,
        method,
        support_cost_per_person=support_cost_per_person,
        discount=discount_factor(months, rate),
        extend_to=extend_to,
    )


def discount_factor(months: int, rate: float) -> float:
    """By how much what is spread evenly over so many months is worth less: nothing in the first 12.

    Examples
    --------
    >>> discount_factor(12, 0.035), round(discount_factor(24, 0.035), 5)
    (1.0, 0.98309)
    """
    return sum((1 + rate) ** -(month // 12) for month in range(months)) / months
