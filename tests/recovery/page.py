"""Writes docs/recovery.md: the words of page.md with the figures of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TEXT = Path(__file__).with_name("page.md")
LOG, DIFFERENCE = "log ratio", "difference"
ETWFE = "etwfe(anticipation=0), summarise"


def markdown(found, few, left, draws):
    """The page: ``found`` and ``few`` from ``summary``, ``left`` from ``quiet_biases``."""
    worlds = {w: _table(_judged(found[found["world"] == w])) for w in ("randomised", "selection", "crisis")}
    kept = {b: _judged(f)[lambda t: t["method"].str.contains("person|summarise")] for b, f in few.items()}
    effects = left[left["over_time"].abs() > 0.1]
    return TEXT.read_text(encoding="utf-8").format(
        draws=draws,
        last=draws - 1,
        quiet=int(left.groupby(["world", "anticipation", "average", "outcome"]).size().max()),
        apart=f"{(effects['over_people'] / effects['over_time'] - 1).abs().mean():.1%}",
        buildings="\n\n".join(f"### {b} buildings\n\n{_table(frame)}" for b, frame in kept.items()),
        left=_left(left),
        **worlds,
        **_figures(found),
    )


def _judged(frame):
    """The linear estimator on its own scale, the others on the ratio's."""
    linear = frame["method"].str.startswith(("callaway", "imputation"))
    scale = np.where(linear, DIFFERENCE, LOG)
    return frame[frame["scale"] == scale]


def _table(frame):
    lines = [
        "| method | outcome | truth | bias | SE/SD | coverage | found |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for r in frame.itertuples():
        d = 3 if r.scale == LOG else 2
        cells = (
            r.method,
            r.outcome,
            f"{r.target:.{d}f}",
            f"{r.bias:+.{d}f} ({r.bias_error:.{d}f})",
            f"{r.se / r.sd:.2f}",
            f"{r.coverage:.3f} ({r.coverage_error:.3f})",
            f"{r.power:.0%}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _left(left):
    share = left.assign(share=left["bias"] / left["without"])
    lines = ["| world | anticipation | average | bias / rate without support |", "|---|--:|---|--:|"]
    for (world, wait, average), values in share.groupby(["world", "anticipation", "average"])["share"]:
        error = values.std() / np.sqrt(len(values))
        lines.append(f"| {world} | {wait} | {average} | {values.mean():+.2%} ({error:.2%}) |")
    return "\n".join(lines)


def _figures(found):
    at = found.set_index(["world", "method", "outcome", "scale"])
    linear, two = (
        "callaway_santanna(anticipation={}), summarise",
        "two_by_two(effects={!r}), 12 months before",
    )
    rare = {w: at.loc["crisis", linear.format(w), "emergency_admission", DIFFERENCE] for w in (0, 3)}
    naive = at.loc["crisis", "before and after, no controls", "emergency_admission", LOG]
    given = at.loc["randomised"]

    def bias(method, outcome):
        return f"{given.loc[(method, outcome, LOG), 'bias']:+.3f}"

    def power(method, scale):
        return f"{given.loc[(method, 'emergency_admission', scale), 'power']:.0%}"

    def cover(method, outcome, scale):
        return f"{given.loc[(method, outcome, scale), 'coverage']:.2f}"

    return {
        "truth": f"{rare[0]['target']:+.1f}",
        "peak": f"{rare[0]['target'] + rare[0]['bias']:+.1f}",
        "clear": f"{rare[3]['target'] + rare[3]['bias']:+.1f}",
        "naive": f"{np.exp(naive['target'] + naive['bias']):.2f}",
        "ratio": f"{np.exp(naive['target']):.2f}",
        "found_cs": power(linear.format(0), DIFFERENCE),
        "found_bjs": power("imputation(anticipation=0), summarise", DIFFERENCE),
        "found_etwfe": power(ETWFE, LOG),
        "found_did": power(two.format("person"), LOG),
        "arm": bias(two.format("arm"), "gp"),
        "person": bias(two.format("person"), "gp"),
        "log_cs": bias(linear.format(0), "emergency_admission"),
        "log_did": bias(two.format("person"), "emergency_admission"),
        "cover_linear": cover(linear.format(0), "bed_days", DIFFERENCE),
        "cover_etwfe": cover(ETWFE, "bed_days", LOG),
        "cover_did": cover(two.format("person"), "bed_days", LOG),
        **_selection(found),
        "cover_match": cover("nearest, rate_ratio", "gp", LOG),
        "cover_adjusted": cover("nearest, rate_ratio(adjust=...)", "gp", LOG),
        "match": bias("nearest, rate_ratio", "gp"),
        "adjusted": bias("nearest, rate_ratio(adjust=...)", "gp"),
    }


def _selection(found):
    """What growth that multiplies rates does to a precise linear estimator, for the most frequent contact."""
    at = found.set_index(["world", "method", "outcome", "scale"])
    linear, ratio = (
        at.loc["selection", f"{name}(anticipation=0), summarise", "gp", scale]
        for name, scale in (("imputation", DIFFERENCE), ("etwfe", LOG))
    )
    rate = linear["target"] / np.expm1(ratio["target"])
    return {
        "gp_linear": f"{linear['bias']:+.1f}",
        "gp_share": f"{linear['bias'] / rate:.1%}",
        "gp_cover": f"{linear['coverage']:.2f}",
        "gp_ratio": f"{ratio['bias']:+.3f}",
    }
