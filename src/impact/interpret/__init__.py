"""What estimates mean: descriptions, threats to them, and the one main effect of a study."""

from typing import TYPE_CHECKING

from impact.fetched import fetch_when_used

if TYPE_CHECKING:
    from impact.interpret.checklists import checklists
    from impact.interpret.checks import checks
    from impact.interpret.description import baseline, kept_to_plan, rates, target_trial
    from impact.interpret.economics import cost_avoided, costs
    from impact.interpret.few_sites import few_sites
    from impact.interpret.main_effect import main_effects
    from impact.interpret.matched_comparison import (
        before_matching,
        compare,
        matched,
        matched_results,
        month_by_month,
    )
    from impact.interpret.over_time import over_time
    from impact.interpret.panels import build_panel, build_panels
    from impact.interpret.pooling import pool, side_by_side, without_each_study
    from impact.interpret.price_lists import price_factor, price_list
    from impact.interpret.reach import reach
    from impact.interpret.regression_to_mean import regression_to_mean
    from impact.interpret.specifications import specification_curve
    from impact.interpret.spillover import spillover
    from impact.interpret.studies import released_studies
    from impact.interpret.surveys import surveyed
    from impact.interpret.threats import placebo
    from impact.interpret.wellbeing_value import qaly, wellby

__all__ = [
    "baseline",
    "before_matching",
    "build_panel",
    "build_panels",
    "checklists",
    "checks",
    "compare",
    "cost_avoided",
    "costs",
    "few_sites",
    "kept_to_plan",
    "main_effects",
    "matched",
    "matched_results",
    "month_by_month",
    "over_time",
    "placebo",
    "pool",
    "price_factor",
    "price_list",
    "qaly",
    "rates",
    "reach",
    "regression_to_mean",
    "released_studies",
    "side_by_side",
    "specification_curve",
    "spillover",
    "surveyed",
    "target_trial",
    "wellby",
    "without_each_study",
]

fetch_when_used(__name__)
