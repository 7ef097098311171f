"""Writes docs/recovery-matching.md: the words of matching_page.md with the figures of both studies."""

from __future__ import annotations

from pathlib import Path

import prior_use
import rand
from sites_page import lines

TEXT = Path(__file__).with_name("matching_page.md")


def markdown(mended, found, figures):
    """The page: ``mended`` from ``rand.summary``, ``found`` from ``prior_use.summary``, single figures."""
    # Few repeats say little: they have no part in the range of what is left.
    many = mended["draws"] > 0.5 * mended["draws"].max()
    matched = mended[many & (mended["method"] != rand.CRUDE)].groupby("outcome")
    least, most = matched["bias"].min(), matched["bias"].max()
    caliper = mended.loc[mended["method"] == "nearest(caliper=0.2)", "matched"].mean()
    crude = mended[(mended["method"] == rand.CRUDE) & (mended["model"] == "")].set_index("outcome")["bias"]
    pairs = found.set_index(["world", "method"]).loc[("need", "nearest, year"), "bias"]
    return TEXT.read_text(encoding="utf-8").format(
        repeats=int(mended["draws"].max()),
        genetic=int(mended.loc[mended["method"].str.startswith("genetic"), "draws"].max()),
        draws=int(found["draws"].max()),
        crude_visits=f"{crude['visits']:+.2f}",
        crude_admissions=f"{crude['admissions']:+.2f}",
        least=f"{least['visits']:+.3f}",
        most=f"{most['visits']:+.3f}",
        least_admissions=f"{least['admissions']:+.3f}",
        most_admissions=f"{most['admissions']:+.3f}",
        left_out=f"{1 - caliper:.0%}",
        supported=rand.SUPPORTED,
        adjust=", ".join(f"`{name}`" for name in rand.ADJUST),
        visits=_mended(mended[mended["outcome"] == "visits"]),
        admissions=_mended(mended[mended["outcome"] == "admissions"]),
        people=f"{prior_use.PEOPLE:,}",
        ratio=prior_use.RATIO,
        worlds="\n".join(f"- **{world}**: {says}." for world, says in prior_use.WORLDS.items()),
        expected=_expected(),
        found=f"{pairs:+.3f}",
        bias=_by_world(found, lambda r: f"{r.bias:+.3f}"),
        surprises=_surprises(found),
        coverage=_by_world(found, lambda r: f"{r.coverage:.3f}"),
        bias_error=f"{found['bias_error'].mean():.3f}",
        coverage_error=f"{found['coverage_error'].mean():.3f}",
        errors=_errors(found),
        refused=_refused(found, "draws of '{world}'"),
        refused_rand=_refused(mended, "repeats ({outcome})"),
        **figures,
    )


def _mended(frame):
    rows = [
        [
            f"`{r.method}`" if r.method != rand.CRUDE else r.method,
            r.model,
            f"{r.bias:+.3f} ({r.bias_error:.3f})",
            f"{r.even:+.3f} ({r.even_error:.3f})",
            f"{r.se / r.sd:.2f}",
            f"{r.coverage:.3f} ({r.coverage_error:.3f})",
            f"{r.matched:.0%}",
        ]
        for r in frame.itertuples()
    ]
    return lines(["method", "model", "bias", "even", "SE/SD", "coverage", "kept"], rows)


def _expected():
    rows = [[says, *signs] for says, (signs, _) in prior_use.EXPECTED.items()]
    return lines(["", *prior_use.WORLDS], rows)


def _surprises(found):
    """Where the sign is not the one expected, or a bias is clear where none was."""
    said, expected = [], prior_use.expectations()
    for r in found.itertuples():
        sign = expected[r.world, r.method]
        clear = abs(r.bias) > 4 * r.bias_error
        if (sign == "0" and clear) or (sign in "+-" and (r.bias < 0) == (sign == "+")):
            said.append(f"{r.method} in '{r.world}' ({sign}: {r.bias:+.3f}, error {r.bias_error:.3f})")
    return "; ".join(said) or "nowhere"


def _by_world(found, cell):
    rows = [
        [method, *(cell(r) for r in rows.set_index("world").loc[list(prior_use.WORLDS)].itertuples())]
        for method, rows in found.groupby("method", sort=False)
    ]
    return lines(["", *prior_use.WORLDS], rows)


def _errors(found):
    means = found.groupby("method", sort=False)[["se", "sd"]].mean()
    return lines(["", "SE/SD"], [[r.Index, f"{r.se / r.sd:.2f}"] for r in means.itertuples()])


def _refused(frame, where):
    some = frame[frame["refused"] > 0].to_dict("records")
    said = [
        f"{r['method']} {r.get('model', '')}".strip() + f" in {r['refused']:.1%} of the {where.format(**r)}"
        for r in some
    ]
    return f"\nNo answer: {'; '.join(said)}." if said else ""
