"""How far an answer hangs on the choices made: runs of one study on the same people, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from impact.errors import DesignError
from impact.interpret.studies import Studies, estimates, listed
from impact.results import Bounds

AS_IN_THE_FILE = "as in the file"
SHOWS, FEW_RUNS = "specification curve", "few runs of each study"
_SAME_PEOPLE = (
    "The runs are of the same people, so they are not independent of each other: many that agree are no more "
    "evidence than one, and what is wrong with the comparison is wrong in all of them."
)

_FEW = "So few runs of each study say little of how far its answer hangs on choices."


def specification_curve(
    runs: Studies, *, choices: Mapping[str, Mapping[str, str]], main: str | None = None
) -> Bounds:
    """Set the effects that runs on the same people found beside each other, with what each run chose.

    Nothing is averaged and nothing is tested over runs: they share their people, and are neither independent
    nor a sample of anything.

    Parameters
    ----------
    runs : mapping of name to Effects or mapping
        As for ``pool``: of each run its effects, one an outcome and scale, or what was released of them.
    choices : mapping of name to mapping
        Of each run what it chose: ``{"method": "nearest"}``. What a run does not say is as in its file.
    main : str, optional
        The run whose answer was named as the main one before any was looked at.

    Returns
    -------
    Bounds
        A row a run, outcome and scale: ``outcome, scale, unit, run`` ('main run' or 'run 2', in the order
        given), a column for each choice, ``estimate, conf_low, conf_high, conf_level`` and ``null_value``.
        ``method`` has ``choices``, the names of those columns, and ``not_by_main``, the outcomes that the
        main run does not count.

    Raises
    ------
    DataError
        As ``pool``.
    DesignError
        For fewer than two runs, and choices of no run.

    References
    ----------
    Simonsohn, Simmons and Nelson (2020), Nature Human Behaviour 4, 1208-1214; their joint test is left out,
    as it permutes what was not assigned by lot.

    Examples
    --------
    >>> row = {"outcome": "ae", "scale": "log ratio", "unit": "log ratio", "std_error": 0.1}
    >>> runs = {name: {"table": [row | {"estimate": e}]} for name, e in (("a", -0.2), ("b", -0.1))}
    >>> chosen = {"a": {"caliper": "0.2"}, "b": {"caliper": "0.1"}}
    >>> curve = specification_curve(runs, choices=chosen, main="a")
    >>> curve.table[["run", "caliper", "estimate"]].values.tolist()
    [['main run', '0.2', -0.2], ['run 2', '0.1', -0.1]]
    """
    if unknown := set(choices) - set(runs) or {main} - {None, *runs}:
        raise DesignError(f"runs: none is named {listed(sorted(map(str, unknown)))}.")
    if len(runs) < 2:
        raise DesignError("runs: give two or more by name; there is nothing to set beside one.")
    rows = estimates(runs)
    called = {name: "main run" if name == main else f"run {i}" for i, name in enumerate(runs, 1)}
    keys = list(dict.fromkeys(key for chosen in choices.values() for key in chosen))
    chosen = pd.DataFrame(
        {key: [choices.get(name, {}).get(key, AS_IN_THE_FILE) for name in rows["study"]] for key in keys},
        index=rows.index,
    )
    table = pd.concat(
        [
            rows[["outcome", "scale", "unit"]],
            rows["study"].map(called).rename("run"),
            chosen,
            rows[["estimate", "conf_low", "conf_high", "conf_level"]],
        ],
        axis=1,
    )
    # People and events of a run stand in its own report; beside those of others they would say who differs.
    fewest = rows[["persons", "treated", "events", "fewest"]].min(axis=1)
    return Bounds(
        table.assign(null_value=0.0),
        {**_method(runs, keys, rows, called), "not_by_main": _not_by(main, runs, rows)},
        pd.DataFrame({"fewest": fewest}),
    )


def few_runs(curves: Mapping[str, Bounds]) -> Bounds:
    """Put the runs of several studies, of each only a few, into one table.

    Parameters
    ----------
    curves : mapping of name to Bounds
        By the name of the study its ``specification_curve``, of the same choices as the others'.

    Returns
    -------
    Bounds
        The rows of all of them, with the name in the column ``study``.
    """
    methods = [curve.method for curve in curves.values()]
    same = {key: methods[0][key] for key in ("choices", "outcome", "inference", "seed")}
    lists = {
        key: list(dict.fromkeys(said for method in methods for said in method[key]))
        for key in ("estimand", "not_by_main")
    }
    return Bounds(
        pd.concat([curve.table.assign(study=name) for name, curve in curves.items()], ignore_index=True),
        {**same, **lists, "shows": FEW_RUNS, "notes": [_FEW]},
        pd.concat([curve.counts for curve in curves.values()], ignore_index=True),
    )


def _not_by(main: str | None, runs: Studies, rows: pd.DataFrame) -> list[str]:
    if main is None:
        return []
    run = runs[main]
    counted = pd.DataFrame(run["table"]) if isinstance(run, Mapping) else run.labels
    return [outcome for outcome in rows["outcome"].unique() if outcome not in set(counted["outcome"])]


def _method(runs: Studies, keys: list[str], rows: pd.DataFrame, called: Mapping[str, str]) -> dict[str, Any]:
    methods = [run.get("method") or {} if isinstance(run, Mapping) else run.method for run in runs.values()]
    estimands = list(dict.fromkeys(str(m["estimand"]) for m in methods if m.get("estimand")))
    notes = [_SAME_PEOPLE]
    if len(estimands) > 1:
        notes.append(f"Not all runs estimate the same: {'; '.join(estimands)}.")
    if silent := [called[name] for name in runs if name not in set(rows["study"])]:
        notes.append(f"No estimate of {listed(silent)} is shown.")
    said = {"shows": SHOWS, "choices": keys, "runs": len(runs), "estimand": estimands, "notes": notes}
    return {**said, "outcome": list(rows["outcome"].unique()), "inference": "as in each run", "seed": None}
