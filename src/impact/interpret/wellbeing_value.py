"""What a change in life satisfaction, or in health, is worth; one change has one value."""

from __future__ import annotations

from dataclasses import dataclass

from impact.errors import ParameterError
from impact.interpret.price_lists import appraisal


@dataclass(frozen=True)
class Worth:
    """A change valued in one way, in pounds, with its low and high price.

    Worths of different changes can be added. Life satisfaction holds what health does to it, so that one
    change valued both in WELLBYs and in QALYs would be counted twice: that is refused.
    """

    of: frozenset[str]
    route: frozenset[str]
    low: float
    central: float
    high: float
    prices: str
    terms: str

    def __add__(self, other: Worth) -> Worth:
        if both := sorted(self.of & other.of):
            how = " and ".join(sorted(self.route | other.route))
            raise ParameterError(
                f"{both[0]!r} is valued twice ({how}): the same change must not be counted again. Choose one."
            )
        if self.prices != other.prices:
            raise ParameterError(f"prices: {self.prices} and {other.prices}; bring both to one year first.")
        return Worth(
            of=self.of | other.of,
            route=self.route | other.route,
            low=self.low + other.low,
            central=self.central + other.central,
            high=self.high + other.high,
            prices=self.prices,
            terms="; ".join(dict.fromkeys((self.terms, other.terms))),
        )


def wellby(change: float, *, people: float, years: float, of: str = "life satisfaction") -> Worth:
    """Value a change in life satisfaction: points from 0 to 10, times people, times years, times 13,000.

    Parameters
    ----------
    change : float
        Average change in life satisfaction with support, on the scale from 0 to 10.
    people : float
    years : float
        For how long it lasted. What was not observed is not valued.
    of : str
        What changed; the same cannot be valued twice.

    Notes
    -----
    10,000, 13,000 and 16,000 pounds of 2019 (HM Treasury, Wellbeing Guidance for Appraisal, July 2021).

    Examples
    --------
    >>> wellby(0.2, people=150, years=1).central
    390000.0
    """
    price = appraisal("wellby")
    if not -10 <= change <= 10:
        raise ParameterError(f"change: got {change}; life satisfaction has points from 0 to 10.")
    source = str(price["vintage"]).replace(" (", ", ").replace(")", "")
    terms = f"{_lasting(years)}: GBP {price['value']:,.0f} a point and year, {source}"
    return _worth(change * people * years, price, of, "WELLBY", str(price["note"]), terms)


def qaly(change: float, *, people: float, years: float, price_gbp: float, prices: str, of: str) -> Worth:
    """Value a change in health-related quality of life, at a price of the user's, since sources disagree.

    Examples
    --------
    >>> health = qaly(0.01, people=150, years=1, price_gbp=20_000, prices="2019 prices", of="pain")
    >>> (health + wellby(0.2, people=150, years=1)).central
    420000.0
    >>> health + wellby(0.2, people=150, years=1, of="pain")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    impact.errors.ParameterError: 'pain' is valued twice (QALY and WELLBY): the same change ...
    """
    price = {"value": price_gbp, "low": price_gbp, "high": price_gbp}
    terms = f"{_lasting(years)}: GBP {price_gbp:,.0f} a year in full health, a price of the study's own"
    return _worth(change * people * years, price, of, "QALY", prices, terms)


def _lasting(years: float) -> str:
    return f"if it lasts {years:g} year{'s' * (years != 1)}"


def _worth(amount: float, price: dict[str, float], of: str, route: str, prices: str, terms: str) -> Worth:
    low, central, high = (amount * float(price[name]) for name in ("low", "value", "high"))
    return Worth(frozenset({of}), frozenset({route}), low, central, high, prices, terms)
