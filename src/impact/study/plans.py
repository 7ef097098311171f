"""What each part of a study is asked to do: plain keyword arguments of the functions below the doors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from impact.errors import DataError, ParameterError
from impact.stores import is_address
from impact.study.matching import Matching
from impact.study.project import files_of, project_root
from impact.study.whole import Sections

TABLES = ("people", "contacts", "coverage", "survey")


class Plans(Sections):
    """The sections of a study, and what they ask of each function."""

    @property
    def source(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.read``; paths count from the project's folder.

        A run names the folder in which what is read is kept for all its notebooks (``IMPACT_CACHE``).
        """
        root = project_root()

        def located(files: tuple[str, ...]) -> Any:
            found = [f if root == Path.cwd() or is_address(f) else str(root / f) for f in files]
            return found[0] if len(found) == 1 else found

        arms: dict[str, Any] = {"treated": list(self.design.treated), "control": list(self.design.control)}
        if cache := os.environ.get("IMPACT_CACHE"):
            arms["cache"] = cache
        if panel := self.data.panel:
            given = {k: v for k, v in panel.model_dump(exclude_none=True).items() if v}
            columns = dict.fromkeys([*self._columns(panel.covariates), *self.design.clusters])
            columns |= dict.fromkeys((*(self.matching.columns if self.matching else ()), *self._scores))
            columns |= dict.fromkeys(self.equity.columns if self.equity else ())
            given |= {"file": located(panel.file), "covariates": list(columns)}
            if self.design.placebo:
                arms |= {"placebo": self.design.placebo.model_dump(by_alias=True), "seed": self.seed}
            return {"panel": given, **arms}
        tables = {k: located(v) for k in TABLES if (v := getattr(self.data, k))}
        if self.data.rename:
            tables["rename"] = {k: v for k, v in self.data.rename.model_dump().items() if v}
        if self.survey:
            tables["waves"] = [self.survey.before, *self.survey.after]
        return {**tables, **arms}

    @property
    def window(self) -> dict[str, Any]:
        """Plain keyword arguments of ``.panel``: outcomes, period, dates, months, covariates, cluster."""
        design = self.design.model_dump(
            include={"period", "start", "end", "months_before", "months_after"}, exclude_none=True
        )
        first, second = self.design.clusters[:1], self.design.clusters[1:]
        design |= {"cluster": first[0]} if first else {}
        columns = (*(self.did.columns if self.did else ()), *(self.equity.columns if self.equity else ()))
        covariates = list(dict.fromkeys((*columns, *(second if self.did else ()))))
        # Synthetic controls need everyone in every period, and end where the study ends.
        whole = self.did is not None and self.did.estimator == "synthetic_did"
        follow_up = None if whole else self.design.months_after
        return {"outcomes": list(self.outcomes), "covariates": covariates, "follow_up": follow_up, **design}

    @property
    def baseline(self) -> dict[str, Any]:
        """Plain keyword arguments of ``.at_baseline``: outcomes, index dates, seed, months, history, unit."""
        chosen, design = self.matching, self.design
        outcomes = list(dict.fromkeys([*self.outcomes, *self._asked["negative_control"]]))
        more: dict[str, Any] = {"unit": design.unit} if design.unit else {}
        more |= {"history": chosen.history.arguments} if chosen and chosen.history else {}
        return {"outcomes": outcomes, "months": design.months_after, **self._dating, **more}

    @property
    def around(self) -> dict[str, Any]:
        """Plain keyword arguments of ``.around_start``: those of ``.panel`` by month, and the dating."""
        return {**self.window, "period": "month", **self._dating}

    @property
    def analysis(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.main_effects``."""
        return {
            "outcome": list(self.outcomes),
            "window": self.window,
            "around": self.around,
            "baseline": self.baseline,
            "did": self.did_plan if self.did else None,
            "clock": self.did.clock if self.did else "calendar",
            "censoring": self._censoring,
            "sample": self._sample,
            "matching": self.matching_plan if self.matching else None,
            "compared": self.compared if self.matching else None,
            "negative_control": list(self.matching.negative_control) if self.matching else [],
            "groups": self._groups,
            "arms": self._arms,
            "asked": self._asked,
            "seed": self.seed,
        }

    @property
    def reach(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.reach``, which does nothing without a column."""
        return {"outcome": self.outcomes[0], "by": self.equity.by if self.equity else None}

    @property
    def surveyed(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.surveyed``, which does nothing without a section."""
        if self.survey is None:
            return {"asked": None}
        asked = self.survey.model_dump(include={"before", "after", "outcomes", "own", "drop_out"})
        asked |= {"after": list(self.survey.after), "recall_error": self.checks.recall_error}
        # Households and risk sets have rows and dates of their own, of which nobody was asked.
        apart = self.design.unit or (self.matching and self.matching.method == "risk_set")
        matched = self.matching is not None and not apart
        return {
            "asked": asked,
            "cluster": next(iter(self.design.clusters), None),
            "sample": {"baseline": self.baseline, "matching": self.matching_plan} if matched else None,
            "worth": self.survey.model_dump(include={"wellby", "qaly"}, exclude_none=True),
        }

    @property
    def did_checks(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.checks`` for a difference-in-differences."""
        return {"outcome": self.outcomes[0], "asked": self._asked} | {
            "plan": {"did": self.did_plan, "panel": self.panel_plan}
        }

    @property
    def matched_checks(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.checks`` for a matched comparison."""
        plan = {"compared": self.compared, "baseline": self.baseline, "matching": self.matching_plan}
        return {"outcome": self.outcomes[0], "asked": self._asked, "plan": plan}

    @property
    def _asked(self) -> dict[str, Any]:
        """The checks section; services named for the matched comparison are looked at in both."""
        named = self.matching.negative_control if self.matching else ()
        both = dict.fromkeys((*self.checks.negative_control, *named))
        # Where support was given by lot, no hidden reason decided who had it.
        lot = ("e_value",) if self.design.assignment == "randomised" else ()
        left = (*self.checks.leave_out, *lot)
        return {**self.checks.model_dump(), "negative_control": list(both), "leave_out": left}

    @property
    def panel_plan(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.build_panel``: the panel of the did section."""
        names = ("window", "around", "clock", "censoring", "sample")
        return {name: self.analysis[name] for name in names}

    @property
    def did_plan(self) -> dict[str, Any]:
        """The estimator, its arguments, and errors by a second clustering: of ``impact.did.estimate``."""
        if self.did is None:
            raise ParameterError("did: missing, and the difference-in-differences was asked for.")
        second = self.design.clusters[1:]
        return self.did.plan | ({"second_cluster": second[0]} if second else {})

    @property
    def few_sites(self) -> dict[str, Any]:
        """Which tests for few sites: arguments of ``impact.interpret.few_sites`` beside the plan."""
        tests = list(self.did.tests) if self.did else []
        return {"tests": tests, "assignment": self.design.assignment, "seed": self.seed}

    @property
    def matching_plan(self) -> dict[str, Any]:
        """The matching method and its arguments, and whether sets are followed for the same time."""
        chosen = self._matching()
        # What is drawn at random is drawn by the study's seed if it has none of its own.
        random = chosen.order == "random" or chosen.method == "genetic"
        drawn = {"seed": self.seed} if random and chosen.seed is None else {}
        apart = {"apart": chosen.apart} if chosen.apart else {}
        return {**chosen.plan, **drawn, **apart, "pair_censoring": chosen.pair_censoring}

    @property
    def compared(self) -> dict[str, Any]:
        """How outcomes are compared after matching: arguments of ``impact.interpret.compare``."""
        chosen = self._matching()
        return {
            "outcome": list(self.outcomes),
            "model": chosen.models or chosen.outcome_model,
            "adjust": list(chosen.adjust),
        }

    @property
    def prices(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.price_list``; no services without a money section.

        Raises
        ------
        DataError
            Where the study's own prices are not there.
        """
        if self.money is None:
            return {"services": []}
        asked: dict[str, Any] = {"services": list(self.money.count or self.outcomes)}
        asked |= {"price_year": self.money.price_year, "cashable": self.money.cashable}
        if self.money.prices and not (found := files_of(project_root(), self.money.prices)):
            raise DataError(f"money.prices: there is no file {self.money.prices!r}.")
        return asked | ({"file": found[0]} if self.money.prices else {})

    @property
    def costing(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.costs``."""
        asked = self.money.arguments if self.money else {}
        return {"months": self.design.months_after, **asked}

    @property
    def before_matching(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.before_matching``."""
        primary, months = self.outcomes[0], self.design.months_after
        return {"matching": self.matching_plan, "outcome": primary, "months": months}

    @property
    def month_by_month(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.month_by_month``."""
        return {"around": self.around, "outcome": self.outcomes[0]}

    @property
    def matched_results(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.matched_results``."""
        chosen = self._matching()
        return {
            "compared": self.compared,
            "around": self.around,
            "other": self._scores,
            "negative_control": list(chosen.negative_control),
            "sensitivity": list(chosen.sensitivity),
        }

    @property
    def spillover(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.spillover``."""
        plan = {"baseline": self.baseline, "matching": self.matching_plan, "compared": self.compared}
        return {"by": self._matching().spillover, **plan}

    def _matching(self) -> Matching:
        if self.matching is None:
            raise ParameterError("matching: missing, and the matched comparison was asked for.")
        return self.matching

    @property
    def _scores(self) -> list[str]:
        """Columns of people that are compared as outcomes beside the services."""
        return [name for name in self.matching.models if name not in self.outcomes] if self.matching else []

    @property
    def characteristics(self) -> list[str]:
        """Columns by which the groups are described: all that the methods use."""
        return self._columns(self.data.panel.covariates if self.data.panel else ())

    @property
    def placebo_draws(self) -> int:
        """How often starts are dealt out anew: 500 where that is the study, 49 where it is a check."""
        return 500 if self.design.placebo else 49

    @property
    def _censoring(self) -> dict[str, Any] | None:
        asked = self.did.censoring if self.did else None
        return asked.model_dump(exclude_none=True) if asked else None

    @property
    def _groups(self) -> dict[str, Any] | None:
        """Columns whose groups are compared, and the weights of the first: of ``interpret.by_groups``."""
        asked = self.equity
        return {"groups": asked.groups, "weights": asked.weighing} if asked else None

    @property
    def _arms(self) -> dict[str, Any] | None:
        """The treated arms and how much support each had, and offers: of ``by_arms`` and ``as_assigned``."""
        if self.arms is None:
            return None
        offers = {"also_from": self.arms.also_from, "assignment": self.design.assignment}
        kinds = {"treated": list(self.design.treated), "order": dict(self.arms.order)}
        return {"kinds": kinds, "offers": offers}

    @property
    def _sample(self) -> dict[str, Any] | None:
        """What the difference-in-differences compares, where that is matched people: of ``matched``."""
        wanted = self.did is not None and self.did.matched
        return {"baseline": self.baseline, "matching": self.matching_plan} if wanted else None

    @property
    def _dating(self) -> dict[str, Any]:
        return {"index_date": self.design.index_date.given, "seed": self.seed}

    def _columns(self, first: Sequence[str]) -> list[str]:
        wanted = [*first]
        if self.matching:
            wanted += [*self.matching.on, *self.matching.exact]
        if self.did:
            wanted += self.did.columns
        if self.equity:
            wanted += self.equity.columns
        if self.survey:
            wanted += self.survey.drop_out
        return list(dict.fromkeys(wanted))
