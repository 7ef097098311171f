"""The average effect over several studies, and how far the effect differs from one to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from impact.errors import DesignError, ParameterError
from impact.interpret.studies import Studies, gather
from impact.numbers.holm import holm
from impact.numbers.random_effects import Averages, random_effects
from impact.results import Array, Bounds, Effects

# With fewer studies than this, hardly anything is known of how far effects differ between them.
FEW = 5
_OVER_STUDIES, _ONE_MORE = "average over studies", "one more study"
_INDEPENDENT = (
    "The studies are taken as independent of each other: nobody, with support or for comparison, may be in "
    "two of them."
)
_ROUGH = (
    "A range for one more study is rough where there are few: in simulations of five and ten studies it held "
    "the effect in 84% to 100% of draws, where 95% is right."
)
_AVERAGE = {
    "estimator": "average over studies (REML)",
    "inference": "Hartung-Knapp-Sidik-Jonkman with a factor of at least 1; t with studies - 1; between "
    "outcomes by how the studies' deviations go together",
}


def pool(
    studies: Studies, *, primary: str | None = None, conf_level: float = 0.95
) -> dict[str, Effects | Bounds]:
    """Average the effects of several studies, outcome by outcome, and say how far the effects differ.

    Parameters
    ----------
    studies : mapping of name to Effects or mapping
        By the name of the study its effects, one an outcome and scale; or what was released of them, as
        ``released_studies`` reads it: a ``table`` with ``outcome, scale, unit, estimate, std_error`` and,
        where known, ``conf_low, conf_high, conf_level, persons, treated, events``. Differences and
        logarithms of ratios are averaged.
    primary : str, optional
        The primary outcome; without it the first, if that is the same in every study.
    conf_level : float

    Returns
    -------
    dict
        ``pooled``, the average over studies like these; ``new_study``, the effect to be expected in one more
        study like these, with its prediction interval, of outcomes that three studies have;
        ``common_effect``, the average if the effect were the same everywhere; and ``heterogeneity``, a row
        an outcome and scale: ``studies``, the variance between studies ``tau2`` from ``tau2_low`` to
        ``tau2_high`` (in the unit of the effect, squared), its share of all variance
        ``i_squared_percent``, Cochran's ``q`` with ``q_df`` and ``q_p_value``, and the ``p_value`` of the
        pooled effect with ``p_value_holm``, which allows for there being several secondary outcomes.

    Raises
    ------
    ParameterError
        If the studies put different outcomes first and ``primary`` names none.
    DataError
        For a table without a column that is needed, or a standard error that is no number above 0.
    DesignError
        For fewer than two studies of every outcome, one study under two names, several effects of a study
        on one outcome, and units that differ.

    Notes
    -----
    The variance between studies is by restricted maximum likelihood (REML). The interval of the average is
    that of Hartung and Knapp (2001) and Sidik and Jonkman (2002). Their factor on the variance can by chance
    be near 0 in few studies; it is not let below 1 (Knapp and Hartung 2003; Roever, Knapp and Friede 2015).
    The prediction interval is by t with studies - 2 degrees of freedom (Higgins, Thompson and Spiegelhalter
    2009) and the same error of the average (Partlett and Riley 2017), so that it always holds the other.
    ``docs/methods.md`` says how often they cover the truth.

    Examples
    --------
    >>> each = {"North": (-0.4, 0.2), "East": (0.1, 0.3), "South": (-0.5, 0.22), "West": (-1.2, 0.4)}
    >>> row = {"outcome": "ae", "scale": "log ratio", "unit": "log ratio"}
    >>> released = {
    ...     name: {"table": [row | {"estimate": estimate, "std_error": error}]}
    ...     for name, (estimate, error) in each.items()
    ... }
    >>> found = pool(released)
    >>> found["pooled"].table[["estimate", "conf_low", "conf_high"]].round(2).values.tolist()
    [[-0.45, -1.19, 0.3]]
    >>> found["new_study"].table[["conf_low", "conf_high"]].round(2).values.tolist()
    [[-2.14, 1.24]]
    >>> found["heterogeneity"].table[["studies", "q_df", "q_p_value"]].round(2).values.tolist()
    [[4.0, 3.0, 0.07]]
    """
    _check_level(conf_level)
    gathered = gather(studies)
    first, cells = gathered.primary(primary), gathered.cells
    found = random_effects(gathered.y, gathered.v, conf_level=conf_level)
    counts = gathered.counts(np.isfinite(gathered.y), np.arange(len(cells)))
    frame: dict[str, Any] = {"counts": counts, "conf_level": conf_level}

    def said(estimand: str, **more: Any) -> dict[str, Any]:
        same = {**gathered.method, **_AVERAGE, "primary": first, "notes": []}
        return {**same, "estimand": estimand, **more}

    notes = [_INDEPENDENT, *gathered.notes, *gathered.not_added_up(), *_few(cells, found)]
    pooled = Effects(
        labels=_named(cells, _OVER_STUDIES),
        **_averages(gathered.names, found),
        method=said("average effect over studies like these", notes=notes),
        **frame,
    )
    out: dict[str, Effects | Bounds] = {"pooled": pooled}
    if (several := found.studies > 2).any():
        how = "prediction interval: t with studies - 2, error of the average and spread between studies"
        new = Effects(
            labels=_named(cells, _ONE_MORE),
            **_averages(gathered.names, found, new=1),
            method=said("effect in one more study like these", inference=how, notes=[_ROUGH]),
            **frame,
        )
        out["new_study"] = new.select(several)
    how = "average over studies (common effect)"
    out["common_effect"] = Effects(
        labels=_named(cells, "common effect"),
        **_errors_only(found.common, found.common_error, np.full(len(cells), np.inf)),
        method=said("the effect, if it is the same in every study", estimator=how, inference="normal"),
        **frame,
    )
    table = _heterogeneity(cells, found, pooled.table["p_value"].to_numpy(float), first)
    how = "REML; Q-profile; chi-square; Holm over secondary outcomes"
    out["heterogeneity"] = Bounds(
        table.assign(conf_level=conf_level),
        said("how far the effect differs between studies", shows="heterogeneity", inference=how),
        counts,
    )
    return out


def without_each_study(studies: Studies, *, conf_level: float = 0.95) -> Effects:
    """Average the effects again without each study in turn: does the answer hang on one of them?

    Takes what ``pool`` takes. The label ``without`` names the study that is left out; an outcome that two
    studies have is not there, as there is no average of one.

    Raises
    ------
    DesignError
        As ``pool``, and where no outcome has three studies.
    """
    _check_level(conf_level)
    gathered = gather(studies)
    here = np.isfinite(gathered.y)
    cell, left_out = np.nonzero(here & (here.sum(1) > 2)[:, None])
    if not len(cell):
        raise DesignError("studies: no outcome has three; without one of two there is no average.")
    y = gathered.y[cell]
    y[np.arange(len(y)), left_out] = np.nan
    names = np.array(gathered.names, object)[left_out]
    return Effects(
        labels=_named(gathered.cells.iloc[cell], [f"without {name}" for name in names], without=names),
        **_averages(gathered.names, random_effects(y, gathered.v[cell])),
        method={
            **gathered.method,
            **_AVERAGE,
            "estimand": "average effect over the other studies",
            "notes": [_INDEPENDENT, *gathered.not_added_up()],
        },
        counts=gathered.counts(np.isfinite(y), cell),
        conf_level=conf_level,
    )


def side_by_side(studies: Studies, *, conf_level: float = 0.95) -> Effects:
    """Put the effects of the studies beneath each other, and under them their average, as a figure needs it.

    Takes what ``pool`` takes, and outcomes of one study as well. The label ``study`` names the study, whose
    interval is its own: of another level by the degrees of freedom read off the one that it had. It is empty
    for the average over studies (of two or more) and the effect in one more study (of three or more).
    """
    _check_level(conf_level)
    gathered = gather(studies, least=1)
    here = np.isfinite(gathered.y)
    cell, study = np.nonzero(here)
    several = np.flatnonzero(here.sum(1) > 1)
    found = random_effects(gathered.y[several], gathered.v[several])
    average = {"cell": several, "study": "", "estimate": found.mean}
    new = np.sqrt(found.error**2 + found.tau2)
    names = np.array(gathered.names, object)[study]
    own = {"estimate": gathered.y[here], "error": np.sqrt(gathered.v[here]), "df": gathered.df[here]}
    # An error of two digits does not give back the range that the study itself shows.
    same = np.where(np.isclose(gathered.level[here], conf_level), 1.0, np.nan)
    own |= {"low": same * gathered.low[here], "high": same * gathered.high[here]}
    rows = pd.concat(
        [
            pd.DataFrame({"cell": cell, "study": names, "term": names, **own}),
            pd.DataFrame({**average, "term": _OVER_STUDIES, "error": found.error, "df": found.studies - 1}),
            pd.DataFrame({**average, "term": _ONE_MORE, "error": new, "df": found.studies - 2}),
        ],
        ignore_index=True,
    )
    behind = np.vstack([np.eye(len(gathered.names), dtype=bool)[study], here[several], here[several]])
    rows = rows[rows["df"] > 0].sort_values("cell", kind="stable")
    at = rows["cell"].to_numpy()
    return Effects(
        labels=_named(gathered.cells.iloc[at], rows["term"].to_numpy(), study=rows["study"].to_numpy()),
        **_errors_only(*(rows[name].to_numpy(float) for name in ("estimate", "error", "df"))),
        method={
            **gathered.method,
            "estimator": "as in each study; average over them by REML",
            "inference": "as in each study; Hartung-Knapp-Sidik-Jonkman with a factor of at least 1",
            "estimand": "effect in each study, over studies like these and in one more study like these",
            "notes": [_INDEPENDENT, *gathered.notes],
        },
        counts=gathered.counts(behind[rows.index], at),
        conf_level=conf_level,
        limits=rows[["low", "high"]].to_numpy(float),
    )


def _check_level(conf_level: float) -> None:
    if not 0 < conf_level < 1:
        raise ParameterError(f"conf_level={conf_level}: give a probability between 0 and 1, such as 0.95.")


def _named(cells: pd.DataFrame, term: Any, **more: Any) -> pd.DataFrame:
    """Label effects as elsewhere, with the study first by which their counts differ."""
    named = cells[["outcome"]].assign(**more, term=term)
    return pd.concat([named, cells[["scale", "unit"]]], axis=1).reset_index(drop=True)


def _averages(names: Sequence[str], found: Averages, *, new: int = 0) -> dict[str, Any]:
    """Averages for ``Effects``, or what they say of ``new`` studies.

    The root has a row a study, its deviation from the average, and a row for what comes on top of those.
    """
    df = found.studies - 1.0 - new
    root = np.vstack([found.root.T, np.diag(np.sqrt(found.excess + new * found.tau2))])
    return {
        "estimate": found.mean,
        "root": root,
        "clusters": np.array([*names, *range(len(df))], object),
        "df": df,
        # Of several averages together no more is known than of the one with the fewest studies.
        "satterthwaite": lambda weights: float(df[np.asarray(weights) != 0].min()),
    }


def _errors_only(estimate: Array, error: Array, df: Array) -> dict[str, Any]:
    """Estimates for ``Effects`` of which only the errors are known, and not how they go together."""

    def single(weights: Array) -> float:
        at = np.flatnonzero(weights)
        if len(at) > 1:
            raise DesignError(
                "effects of which only the standard errors were released cannot be combined, as how they go "
                "together is not known; pool the studies."
            )
        return float(df[at].sum())

    return {
        "estimate": estimate,
        "root": np.diag(error),
        "clusters": np.arange(len(error)),
        "df": df,
        "satterthwaite": single,
    }


def _heterogeneity(cells: pd.DataFrame, found: Averages, p_values: Array, primary: str) -> pd.DataFrame:
    adjusted = p_values.copy()
    for scale in cells["scale"].unique():
        # Both scales tell of the same change, so that each is a family of its own.
        rows = ((cells["scale"] == scale) & (cells["outcome"] != primary)).to_numpy()
        adjusted[rows] = holm(p_values[rows])
    return cells.assign(
        studies=found.studies,
        tau2=found.tau2,
        tau2_low=found.tau2_low,
        tau2_high=found.tau2_high,
        i_squared_percent=100 * found.i_squared,
        q=found.q,
        q_df=found.studies - 1,
        q_p_value=found.q_p_value,
        p_value=p_values,
        p_value_holm=adjusted,
    )


def _few(cells: pd.DataFrame, found: Averages) -> list[str]:
    """Say what few studies cannot tell, outcome by outcome."""
    said = []
    for outcome, k in zip(cells["outcome"], found.studies, strict=True):
        if k == 2:
            said.append(
                f"{outcome}: two studies do not show how far effects differ. The range of their average is "
                "very wide for that reason, and none can be given for one more study; read the two beside "
                "each other."
            )
        elif k < FEW:
            number = {3: "three", 4: "four"}[int(k)]
            said.append(
                f"{outcome}: {number} studies hardly show how far effects differ. The ranges allow for that "
                "and are wide."
            )
    return list(dict.fromkeys(said))
