"""Prices of services: the list that comes with the package, a user's own, and another year's pounds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from impact.data.contract import STAYS
from impact.errors import DataError, ParameterError, nearest, together

_FOLDER = Path(__file__).parent / "prices"
_NEEDED = ("service", "cost_gbp", "price_year", "source")
_NUMBERS = ("cost_gbp", "low_gbp", "high_gbp", "cashable_gbp", "cashable_share")
_KNOWN = (*_NEEDED, *_NUMBERS[1:], "unit", "licence", "verification", "note")
# Standard errors from one end of a 95% range to the other.
_WIDTH = 3.92
# Services that count the same stays: the cost of an admission holds that of its days.
OVERLAPPING = {"bed_days": (*STAYS, "day_case")}


def price_list(
    services: Sequence[str],
    *,
    price_year: str = "",
    file: str | Path | None = None,
    cashable: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Prices of the services that are counted, in pounds of one year.

    Parameters
    ----------
    services : sequence of str
        What is counted, such as ``["ae", "gp", "bed_days"]``; none for no prices.
    price_year : str
        Financial year of the pounds, such as ``2023/24``.
    file : path, optional
        CSV with ``service, cost_gbp, price_year, source`` and, where known, ``low_gbp, high_gbp`` (a 95%
        range), and ``cashable_gbp`` or ``cashable_share``: what is truly released if a contact does not
        happen. A row takes the place of the package's for that service.
    cashable : mapping of service to share, optional
        In place of what the lists say.

    Returns
    -------
    DataFrame
        ``service, cost_gbp, cost_error, cashable_gbp, stated_year, source``; ``attrs`` names the price year
        and each index used with its vintage. Where no cashable part is known it is missing.

    Raises
    ------
    ParameterError
        For services that count the same stays, for one without a price, and for a cashable share of none.
    DataError
        With every problem of the file by row and column.

    Examples
    --------
    >>> price_list(["bed_days"], price_year="2020/21")[["cost_gbp", "cashable_gbp"]].round(2).values.tolist()
    [[1032.09, 344.6]]
    """
    refuse_overlapping(services)
    if not services:
        return pd.DataFrame(
            columns=["service", "cost_gbp", "cost_error", "cashable_gbp", "stated_year", "source"]
        )
    known = _read(_FOLDER / "unit_costs.csv")
    if file is not None:
        own = _read(Path(file))
        known = pd.concat([own, known[~known["service"].isin(own["service"])]], ignore_index=True)
    known = known.set_index("service")
    if without := [name for name in services if name not in known.index]:
        raise ParameterError(
            f"money: there is no price for {', '.join(map(repr, without))}. Give it in a file (money.prices: "
            "service, cost_gbp, price_year, source), or name in money.count what is to be counted."
            f"{nearest(without[0], known.index)}"
        )
    if strange := [name for name in cashable or {} if name not in services]:
        raise ParameterError(f"money.cashable: {strange[0]!r} is not counted.{nearest(strange[0], services)}")
    found, used = known.loc[list(services)].reset_index(), list[str]()
    by = np.ones(len(found))
    for i, year in enumerate(found["price_year"]):
        by[i], said = price_factor(year, price_year)
        used += [text for text in said if text not in used]
    share = found["service"].map(dict(cashable or {})).astype(float).fillna(found["cashable_share"])
    out = pd.DataFrame(
        {
            "service": found["service"],
            "cost_gbp": found["cost_gbp"] * by,
            "cost_error": (found["high_gbp"] - found["low_gbp"]).fillna(0) / _WIDTH * by,
            "cashable_gbp": (share * found["cost_gbp"]).fillna(found["cashable_gbp"]) * by,
            "stated_year": found["price_year"],
            "source": found["source"],
        }
    )
    out.attrs = {"price_year": price_year, "index": "; ".join(used)}
    return out


def refuse_overlapping(services: Sequence[str]) -> None:
    """Refuse services that count the same stays twice.

    Raises
    ------
    ParameterError
        Naming both, and what to do.
    """
    for one, others in OVERLAPPING.items():
        if one in services and (both := [name for name in others if name in services]):
            raise ParameterError(
                f"money.count: {one!r} and {both[0]!r} count the same stays; the price of a stay "
                f"holds that of its days. Count one of them, such as money.count: "
                f"[{', '.join(name for name in services if name not in both)}]."
            )


def offered() -> tuple[list[str], str]:
    """Return the services that the package has prices of, and the last year whose index is not provisional.

    Examples
    --------
    >>> services, year = offered()
    >>> "gp" in services, len(price_list(services[:2], price_year=year))
    (True, 2)
    """
    services, status = _read(_FOLDER / "unit_costs.csv")["service"], _index("nhs")["status"]
    return services.tolist(), str(status.index[status != "provisional"][-1])


def price_factor(
    start: str, end: str, *, index: Literal["nhs", "gdp"] = "nhs"
) -> tuple[float, tuple[str, ...]]:
    """By how much prices rose from one year to another, and which index and vintage say so.

    ``nhs`` takes financial years, of NHS pay and prices; ``gdp`` calendar years, for what is not NHS.

    Raises
    ------
    ParameterError
        For a year the index does not have.

    Examples
    --------
    >>> factor, said = price_factor("2020/21", "2022/23")
    >>> round(factor, 6), said
    (1.100889, ('NHSCII pay and prices, PSSRU 2025 manual',))
    """
    rises = _index(index)
    years = [_before(rises.index[0]), *rises.index]
    for year in (start, end):
        if year not in years:
            raise ParameterError(
                f"price year: got {year!r}; the index has {years[0]} to {years[-1]}. Give the price "
                "in one of these years."
            )
    first, last = sorted((years.index(start), years.index(end)))
    between = rises.iloc[first:last]
    by = float(np.prod(1 + between["percent"].to_numpy(float) / 100))
    said = []
    for (name, vintage), rows in between.groupby(["index", "vintage"], sort=False):
        open_ = [f"{year} {status}" for year, status in rows["status"].items() if status != "final"]
        said.append("; ".join([f"{name}, {vintage}", *open_]))
    return (by if years.index(end) == last else 1 / by), tuple(said)


@cache
def _index(name: Literal["nhs", "gdp"]) -> pd.DataFrame:
    if name == "nhs":
        return pd.read_csv(_FOLDER / "nhs_inflation.csv", dtype={"year": str}).set_index("year")
    levels = pd.read_csv(_FOLDER / "gdp_deflator.csv", dtype={"year": str}).set_index("year")
    rises = 100 * (levels["level"] / levels["level"].shift() - 1)
    return levels.assign(percent=rises, index="GDP deflator", status="final").iloc[1:]


def _before(year: str) -> str:
    first = int(year[:4]) - 1
    return f"{first}/{(first + 1) % 100:02d}" if "/" in year else str(first)


@cache
def appraisal(name: str) -> dict[str, Any]:
    """Return a dated figure for appraisal: ``discount_rate``, ``discount_rate_health``, ``wellby``, ...

    Examples
    --------
    >>> float(appraisal("discount_rate")["value"]), appraisal("wellby")["note"]
    (0.035, '2019 prices')
    """
    known = pd.read_csv(_FOLDER / "appraisal.csv").set_index("name")
    return dict(known.loc[name])


def _read(file: Path) -> pd.DataFrame:
    """Read a price list; every problem by row and column."""
    try:
        table = pd.read_csv(file, dtype=str, encoding="utf-8-sig", skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise DataError(
            f"money.prices: {file.name} could not be read as CSV ({type(error).__name__})."
        ) from None
    names = [str(c).strip() for c in table.columns]
    table.columns = pd.Index(names)
    problems = [f"there is no column {c!r}.{nearest(c, names)}" for c in _NEEDED if c not in names]
    problems += [f"column {c!r} is not known.{nearest(c, _KNOWN)}" for c in names if c not in _KNOWN]
    if not problems:
        table = table.reindex(columns=list(_KNOWN)).fillna("").apply(lambda column: column.str.strip())
        table = table.mask(table == "")
        problems = [f"row {i + 2}, {said}" for i, row in table.iterrows() for said in _wrong(row)]
        twice = table["service"].duplicated()
        problems += [f"row {i + 2}, service: it stands twice." for i in np.flatnonzero(twice)]
    if problems:
        raise DataError(together([f"money.prices: {file.name}: {said}" for said in problems]))
    return table.assign(**{c: pd.to_numeric(table[c]) for c in _NUMBERS})


def _wrong(row: pd.Series) -> list[str]:
    """Say what is wrong with one price."""
    found = [f"{c}: it is missing." for c in _NEEDED if pd.isna(row[c])]
    numbers = {c: pd.to_numeric(row[c], errors="coerce") for c in _NUMBERS}
    for c, value in numbers.items():
        if pd.notna(row[c]) and not (np.isfinite(value) and value >= 0):
            found.append(f"{c}: expected a number of 0 or more, found {row[c]!r}; write pounds as 1032.09.")
    if found:
        return found
    cost, low, high, cash, share = numbers.values()
    if cost == 0:
        found.append("cost_gbp: a price of 0 counts nothing; leave the row out.")
    if pd.isna(low) != pd.isna(high):
        found.append("low_gbp, high_gbp: give both ends of the range, or neither.")
    elif pd.notna(low) and not low <= cost <= high:
        found.append(f"low_gbp, high_gbp: the cost, {cost:g}, does not lie between {low:g} and {high:g}.")
    if pd.notna(cash) and pd.notna(share):
        found.append("cashable_gbp, cashable_share: give one of them.")
    if cash > cost or share > 1:
        found.append("cashable: it is more than the cost.")
    if not re.fullmatch(r"\d{4}/\d{2}", str(row["price_year"])):
        found.append(f"price_year: expected a financial year such as 2023/24, found {row['price_year']!r}.")
    return found
