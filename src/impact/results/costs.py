"""What contacts avoided are worth, from the joint effects on several services and their prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from impact.results.blocks import Array
from impact.results.effects import Effects
from impact.results.json_text import as_json


@dataclass(frozen=True, eq=False)
class Costs:
    """Cost of the activity avoided, what of it is cash, the cost of support, and the balance.

    Parameters
    ----------
    effects : Effects
        On the services counted, in all their scales, with one joint root: services are used by the same
        people, and their effects are correlated.
    prices : DataFrame
        One row a service: ``service``, ``cost_gbp``, ``cost_error`` (standard error of the price),
        ``cashable_gbp``, ``stated_year`` and ``source``. All in pounds of ``method["price_year"]``.
    people : float
        How many had support.
    method : mapping
        ``price_year``, ``index``, ``estimator`` and what else describes it.
    support_cost_per_person : float, optional
        Without it there is no balance.
    discount : float
        By which later contacts are worth less; 1 within 12 months.
    extend_to : mapping, optional
        ``people``, ``take_up`` and ``optimism_bias``: those to whom the value a person is carried over.

    Notes
    -----
    With effects ``a`` with covariance ``V`` and prices ``p`` with errors ``e``, independent of the effects
    and of each other, the sum is ``p'a`` with variance ``p'Vp + sum e^2 (a^2 + diag V)``: the first term is
    that of ``Effects.combine``. Draws of both would give the same mean and variance, whatever the shape of
    the prices' distribution (such as gamma). Intervals and chances use t with the effects' degrees of
    freedom.
    """

    effects: Effects
    prices: pd.DataFrame
    people: float
    method: Mapping[str, Any]
    support_cost_per_person: float | None = None
    discount: float = 1.0
    extend_to: Mapping[str, float] | None = None

    @property
    def avoided(self) -> Effects:
        """Contacts avoided, one effect a service, in the order of the prices."""
        of = self.effects.select(self.effects.labels["scale"] == "events avoided")
        at = pd.Index(of.labels["outcome"]).get_indexer(self.prices["service"])
        return of.combine(
            np.eye(len(of))[:, at],
            labels=of.labels.iloc[at],
            counts=of.counts.iloc[at].reset_index(drop=True),
        )

    @property
    def counts(self) -> pd.DataFrame:
        """People and events behind each effect."""
        return self.effects.counts

    @property
    def table(self) -> pd.DataFrame:
        """One row an item, in pounds (positive: care that was not needed, or money left over).

        ``item`` is ``service`` (one a service), ``activity`` and ``cashable`` (their sums), ``support``,
        ``net`` and ``net_cash`` (less the cost of support), ``break_even`` and ``break_even_cash`` (pounds a
        person), the same with ``extended_`` where it is carried over, and ``swing``: the balance (or the
        activity) with one effect or one price at the ends of its range. ``chance`` is that of being above 0.
        """
        whole = [self._sums(np.eye(len(self.prices))[i], "service", i) for i in range(len(self.prices))]
        everything = np.ones(len(self.prices))
        rows = [*whole, *self._balance("", everything, self.people, 1.0)]
        if self.extend_to is not None:
            people = float(self.extend_to["people"]) * float(self.extend_to["take_up"])
            dearer = 1 + float(self.extend_to.get("optimism_bias", 0))
            scale = everything * people / self.people
            rows += self._balance("extended_", scale, people, dearer)[: 5 if self._has_support else 2]
        rows += self._swings()
        out = pd.DataFrame(rows)
        out["conf_level"] = self.effects.conf_level
        out["unit"] = f"GBP {self.method['price_year']}"
        return out

    def to_json(self) -> str:
        """Return the items as JSON."""
        return as_json(self.table, self.method)

    def of_services(self, services: Sequence[str], people: float, effects: Effects) -> Costs:
        """Return the costs of some of the services alone, with effects and people as they are given."""
        keep = self.prices["service"].isin(list(services))
        return replace(self, effects=effects, prices=self.prices[keep].reset_index(drop=True), people=people)

    @property
    def _has_support(self) -> bool:
        return self.support_cost_per_person is not None

    def _balance(self, prefix: str, weights: Array, people: float, dearer: float) -> list[dict[str, Any]]:
        found = [self._sums(weights, f"{prefix}{item}") for item in ("activity", "cashable")]
        if self.support_cost_per_person is None:
            return found
        cost = self.support_cost_per_person * people * dearer
        net = [
            self._sums(weights, f"{prefix}{item}", less=cost, cash=item == "net_cash")
            for item in ("net", "net_cash")
        ]
        each = [
            self._sums(weights / people, f"{prefix}{item}", cash=item == "break_even_cash")
            for item in ("break_even", "break_even_cash")
        ]
        return [*found, {"item": f"{prefix}support", "estimate": cost}, *net, *each]

    def _sums(
        self, weights: Array, item: str, at: int | None = None, *, less: float = 0.0, cash: bool = False
    ) -> dict[str, Any]:
        """One sum over services: estimate, error, range and the chance that it is above 0."""
        from scipy.special import stdtr, stdtrit

        price, error = self._prices(cash or item.endswith("cashable"))
        avoided = self.avoided
        total = avoided.combine(
            (weights * price)[:, None], labels=avoided.labels.iloc[[0]], counts=avoided.counts.iloc[[0]]
        )
        own = (weights * error) ** 2 @ (avoided.estimate**2 + avoided.std_error**2)
        estimate = float(total.estimate[0]) - less
        std_error = float(np.sqrt(total.std_error[0] ** 2 + own))
        df = float(np.min(total.df))
        half = std_error * float(stdtrit(df, 0.5 + self.effects.conf_level / 2))
        row: dict[str, Any] = {"item": item, "estimate": estimate, "std_error": std_error}
        row |= {"conf_low": estimate - half, "conf_high": estimate + half}
        row["chance"] = float(stdtr(df, estimate / std_error)) if std_error > 0 else np.nan
        if at is not None:
            known = self.prices.iloc[at]
            row |= {"outcome": known["service"], "price_gbp": known["cost_gbp"]}
            row |= {name: known[name] for name in ("cashable_gbp", "stated_year", "source")}
        return row

    def _prices(self, cash: bool) -> tuple[Array, Array]:
        """Prices as they count, and their errors; what is cashable is in the same proportion uncertain."""
        price, error = (self.prices[c].to_numpy(float) for c in ("cost_gbp", "cost_error"))
        if cash:
            marginal = self.prices["cashable_gbp"].fillna(0).to_numpy(float)
            price, error = marginal, error * marginal / price
        return price * self.discount, error * self.discount

    def _swings(self) -> list[dict[str, Any]]:
        """The balance with one thing at the ends of its own range and all else as estimated."""
        from scipy.special import stdtrit

        price, error = self._prices(cash=False)
        a, avoided = self.avoided.estimate, self.avoided
        cost = (self.support_cost_per_person or 0.0) * self.people
        base = float(price @ a) - cost
        df = np.broadcast_to(np.asarray(avoided.df, float), a.shape)
        wide = stdtrit(df, 0.5 + self.effects.conf_level / 2) * avoided.std_error * price
        # A normal range of the price: nothing is known of its shape but where it lies.
        dear = 1.96 * error * np.abs(a)
        ends = [
            {"item": "swing", "outcome": name, "term": term, "estimate": base}
            | {"conf_low": base - by[i], "conf_high": base + by[i]}
            for i, name in enumerate(self.prices["service"])
            for term, by in (("effect", wide), ("price", dear))
            if by[i] > 0
        ]
        return sorted(ends, key=lambda row: row["conf_low"] - row["conf_high"])
