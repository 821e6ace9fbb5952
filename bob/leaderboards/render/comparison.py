"""The table and the sentences of `bob-bench compare`."""

from typing import Any

from bob.leaderboards.pairwise import Comparison, Overall, PairedComparison, tally
from bob.leaderboards.render.narrowing_table import NarrowingColumn, NarrowingTable
from bob.leaderboards.render.ranking_table import pool_text
from bob.leaderboards.render.separation import images_to_separate, separation_sentence
from bob.leaderboards.render.text import MISSING, difference_text, p_text, value_text
from bob.leaderboards.verdicts import Relation
from bob.statistics.complementarity import Complementarity

TEST_TEXT = {
    "mcnemar": "exact McNemar",
    "sign_flip": "sign-flip permutation",
    "t": "paired t",
    "jackknife": "paired jackknife",
    "bootstrap": "paired bootstrap",
}

OVERALL_TEXT = {
    "datasets": "95 % confidence interval over datasets",
    "examples": "95 % confidence interval over examples, as there are too few datasets",
    "none": "no confidence interval: too few datasets, and no per-example results",
}
"""What the interval of the mean difference is over."""

TESTED_OVER = {
    "datasets": "paired t-test over datasets",
    "examples": "paired test on the same examples",
    "none": "",
}
"""What the verdict over all settings comes from."""

ELSEWHERE = "--json has all"
"""Where a terminal that is too narrow for a column finds it."""


def comparison_table(comparison: Comparison) -> NarrowingTable:
    """Return one row per setting, with backbones A and B: their names would take up the width."""
    rows = list(zip(*map(_fields, comparison.per_setting), strict=True))
    heads = (
        *(("setting", 0), ("metric", 3), ("A", 2), ("B", 2)),
        *(("A - B [95 % CI]", 0), ("p", 5), ("p (Holm)", 4), ("verdict", 1)),
    )
    return NarrowingTable(
        title=f"A: {comparison.a}\nB: {comparison.b}",
        columns=tuple(
            NarrowingColumn(head, texts, rank, is_name=head in ("setting", "metric"))
            for (head, rank), texts in zip(heads, rows, strict=True)
        ),
        elsewhere=ELSEWHERE,
    )


def complementarity_table(comparison: Comparison) -> NarrowingTable | None:
    """Return which test images A and B have right, setting by setting; None without any."""
    settings = [setting for setting in comparison.per_setting if setting.complementarity]
    if not settings:
        return None
    heads = (
        *(("setting", 0), ("both", 1), ("only A", 0), ("only B", 0), ("neither", 1)),
        *(("A rescues", 4), ("B rescues", 4), ("oracle gain", 3), ("κ", 2)),
    )
    rows = list(zip(*map(_complementarity_fields, settings), strict=True))
    return NarrowingTable(
        title="images that are right, in %",
        columns=tuple(
            NarrowingColumn(head, texts, rank, is_name=head == "setting")
            for (head, rank), texts in zip(heads, rows, strict=True)
        ),
        elsewhere=ELSEWHERE,
    )


def _complementarity_fields(setting: PairedComparison) -> list[str]:
    counts = setting.complementarity
    assert counts is not None
    shares = (counts.both, counts.only_a, counts.only_b, counts.neither)
    low, high = counts.oracle_gain_limits
    gain = f"{100 * counts.oracle_gain:.1f} [{100 * low:.1f}–{100 * high:.1f}]"
    return [
        str(setting.column),
        *(f"{100 * count / counts.n:.1f}" for count in shares),
        *(
            MISSING if rate is None else f"{100 * rate:.0f}"
            for rate in (counts.rescued_by_a, counts.rescued_by_b)
        ),
        gain,
        _kappa_text(counts),
    ]


def _kappa_text(counts: Complementarity) -> str:
    if counts.kappa is None:
        return MISSING
    if (limits := counts.kappa_limits) is None:
        return f"{counts.kappa:.2f}"
    return f"{counts.kappa:.2f} [{limits[0]:.2f}–{limits[1]:.2f}]"


def complementarity_sentence(comparison: Comparison) -> str:
    """Return what the table of complementarity says and does not say; empty without it."""
    if not any(setting.complementarity for setting in comparison.per_setting):
        return ""
    return (
        "B rescues: share of A's errors that B has right. Oracle gain: what a choice of the right "
        "one of both would add to the better one; it is above 0 with baselines as partners too, "
        "and only bounds what a fusion can gain. κ: consistency of errors, 0 if independent, 1 if "
        "the same."
    )


def complementarity_row(counts: Complementarity | None) -> dict[str, Any] | None:
    """Return the counts and what follows from them as plain values."""
    if counts is None:
        return None
    return {
        "both": counts.both,
        "only_a": counts.only_a,
        "only_b": counts.only_b,
        "neither": counts.neither,
        "rescued_by_a": counts.rescued_by_a,
        "rescued_by_a_limits": counts.rescued_by_a_limits,
        "rescued_by_b": counts.rescued_by_b,
        "rescued_by_b_limits": counts.rescued_by_b_limits,
        "oracle_gain": counts.oracle_gain,
        "oracle_gain_limits": counts.oracle_gain_limits,
        "kappa": counts.kappa,
        "kappa_limits": counts.kappa_limits,
    }


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row of plain values per setting; differences are a minus b."""
    return [
        {
            "task": pair.column.task,
            "dataset": pair.column.dataset,
            "metric": pair.metric,
            "a": pair.a,
            "b": pair.b,
            "p": pair.difference.p if pair.difference else None,
            "p_holm": pair.p,
            "difference": pair.difference._asdict() if pair.difference else None,
            "verdict": verdict_text(pair.relation, comparison.a, comparison.b),
            "why_untested": pair.why_untested,
            "complementarity": complementarity_row(pair.complementarity),
            "images_to_separate": images_to_separate(pair),
        }
        for pair in comparison.per_setting
    ]


def overall_row(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison over all settings as plain values."""
    overall = comparison.overall
    difference = overall.difference
    return {
        "settings": [str(column) for column in overall.settings],
        "value": difference.value if difference else None,
        "low": difference.low if difference else None,
        "high": difference.high if difference else None,
        "basis": difference.basis if difference else overall.ranking.basis,
        "p_holm": overall.p,
        "verdict": verdict_text(overall.relation, comparison.a, comparison.b),
        "why_untested": overall.why_untested,
        "pool": pool_text(overall.ranking),
        "not_ranked": overall.unranked,
    }


def _fields(setting: PairedComparison) -> list[str]:
    difference, p, holm = setting.difference, MISSING, MISSING
    gap = MISSING
    if difference is not None:
        gap = difference_text(setting.metric, difference.value, difference.low, difference.high)
        if setting.p is not None:
            p, holm = p_text(difference.p), p_text(setting.p)
    return [
        str(setting.column),
        setting.metric,
        value_text(setting.metric, setting.a),
        value_text(setting.metric, setting.b),
        gap,
        p,
        holm,
        _short_verdict(setting.relation),
    ]


def difference_sentence(setting: PairedComparison) -> str:
    """Return A minus B in one setting, with its interval and verdict."""
    verdict = verdict_text(setting.relation, "A", "B")
    if setting.difference is None:
        return f"A minus B: {verdict}, {setting.why_untested}."
    gap = difference_text(
        setting.metric, setting.difference.value, setting.difference.low, setting.difference.high
    )
    return f"A minus B, with its 95 % interval: {gap}; {verdict}."


def _short_verdict(relation: Relation) -> str:
    """Return the verdict of one setting in a word or two; a sentence explains `not tested`."""
    return {"untested": "not tested", "tied": "tied", "better": "A better"}.get(
        relation, "B better"
    )


def verdict_text(relation: Relation, a: str, b: str) -> str:
    """Return which backbone is significantly better, where `a` and `b` are their names."""
    if relation == "untested":
        return "not tested"
    if relation == "tied":
        return "statistically tied"
    return f"{a if relation == 'better' else b} is better"


def comparison_sentences(comparison: Comparison) -> list[str]:
    """Return tests, wins, mean difference, overall verdict, and what would decide ties."""
    sentences = [
        _tests(comparison),
        _untested(comparison),
        _wins(comparison),
        _mean_difference(comparison.overall),
        _verdict(comparison),
        separation_sentence(comparison.per_setting),
    ]
    return [sentence for sentence in sentences if sentence]


def _tests(comparison: Comparison) -> str:
    tested = [setting for setting in comparison.per_setting if setting.difference]
    if not tested:
        return ""
    tests = ", ".join(
        sorted({TEST_TEXT[setting.difference.test] for setting in tested if setting.difference})
    )
    sizes = sorted({setting.pool for setting in tested})
    size = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}-{sizes[-1]}"
    noun = "backbone" if sizes == [1] else "backbones"
    return (
        f"Paired tests on the same examples: {tests}; in each setting, p-values are adjusted for "
        f"its pool of {size} {noun} (Holm), as on the leaderboard."
    )


def _untested(comparison: Comparison) -> str:
    """Return why settings are not tested; empty where all are."""
    reasons: dict[str, list[str]] = {}
    for setting in comparison.per_setting:
        if setting.why_untested is not None:
            reasons.setdefault(setting.why_untested, []).append(str(setting.column))
    if len(reasons) == 1:
        return f"Not tested: {next(iter(reasons))}."
    texts = [f"{', '.join(columns)} ({reason})" for reason, columns in reasons.items()]
    return f"Not tested: {'; '.join(texts)}." if texts else ""


def _wins(comparison: Comparison) -> str:
    count = tally(comparison.per_setting)
    return (
        f"{comparison.a} is significantly better in {count['a']}, {comparison.b} in {count['b']}; "
        f"statistically tied in {count['neither']}, not tested in {count['untested']}."
    )


def _mean_difference(overall: Overall) -> str:
    """Return the mean difference; empty for a single setting, which the table shows."""
    if len(overall.settings) == 1:
        return ""
    if overall.difference is None:
        return "No mean difference over settings: their metrics are on different scales."
    mean = overall.difference
    difference = difference_text("top1", mean.value, mean.low, mean.high)
    return (
        f"Mean difference over {len(overall.settings)} settings, in percentage points: "
        f"{difference} ({OVERALL_TEXT[mean.basis]})."
    )


def _verdict(comparison: Comparison) -> str:
    """Return the verdict over all settings; empty for a single one, which the table shows."""
    overall, ranking = comparison.overall, comparison.overall.ranking
    if overall.unranked:
        return f"No verdict over all settings: {overall.why_untested}."
    if len(ranking.settings) < 2:
        return ""
    scope = f"Over {pool_text(ranking)}"
    if overall.why_untested is not None:
        return f"{scope}, their difference cannot be tested: {overall.why_untested}."
    p = f"p {text if (text := p_text(overall.p or 0.0)).startswith('<') else f'= {text}'}"
    test = f"{TESTED_OVER[ranking.basis]} of mean z-scores, {p}, adjusted for the pool (Holm)"
    if overall.relation == "tied":
        return f"{scope}, both are statistically tied ({test})."
    winner = comparison.a if overall.relation == "better" else comparison.b
    return f"{scope}, {winner} is significantly better ({test})."
