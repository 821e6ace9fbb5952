"""The table and the sentences of `bob-bench compare`."""

from typing import Any

from rich.table import Table
from rich.text import Text

from bob.leaderboards.pairwise import Comparison, MeanDifference, PairedComparison, tally
from bob.leaderboards.render.text import MISSING, difference_text, value_text

TEST_TEXT = {
    "mcnemar": "exact McNemar",
    "sign_flip": "sign-flip permutation",
    "t": "paired t",
    "bootstrap": "paired bootstrap",
}

OVERALL_TEXT = {
    "datasets": "95 % confidence interval over datasets",
    "examples": "95 % confidence interval over examples, as there are too few datasets",
    "none": "no confidence interval: too few datasets, and no per-example results",
}
"""What the interval of the mean difference is over."""

HEAD = ("setting", "metric", "A", "B", "A - B [95 % CI]", "p", "p (Holm)", "verdict")


def comparison_table(comparison: Comparison) -> Table:
    """Return one row per setting, with backbones A and B: their names would take up the width."""
    title = Text(f"A: {comparison.a}\nB: {comparison.b}")
    table = Table(title=title, title_justify="left")
    for head in HEAD:
        table.add_column(Text(head), overflow="fold", no_wrap=head.startswith(("A", "B", "p")))
    for setting in comparison.per_setting:
        table.add_row(*map(Text, _fields(setting)))
    return table


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row of plain values per setting; differences are a minus b."""
    return [
        {
            "task": pair.column.task,
            "dataset": pair.column.dataset,
            "metric": pair.metric,
            "a": pair.a,
            "b": pair.b,
            "p_holm": pair.p,
            "difference": pair.difference._asdict() if pair.difference else None,
            "verdict": verdict_text(pair, comparison.a, comparison.b),
        }
        for pair in comparison.per_setting
    ]


def _fields(setting: PairedComparison) -> list[str]:
    difference, p, holm = setting.difference, MISSING, MISSING
    gap = MISSING
    if difference is not None:
        gap = difference_text(setting.metric, difference.value, difference.low, difference.high)
        if setting.p is not None:
            p, holm = _p_text(difference.p), _p_text(setting.p)
    return [
        str(setting.column),
        setting.metric,
        value_text(setting.metric, setting.a),
        value_text(setting.metric, setting.b),
        gap,
        p,
        holm,
        verdict_text(setting, "A", "B"),
    ]


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def verdict_text(setting: PairedComparison, a: str, b: str) -> str:
    """Return which backbone is significantly better, where `a` and `b` are their names."""
    if setting.p is None:
        return "not tested: no per-example results on the same examples"
    if setting.winner == 0:
        return "statistically tied"
    return f"{a if setting.winner == 1 else b} is better"


def comparison_sentences(comparison: Comparison) -> list[str]:
    """Return the tests used, the number of wins, and the mean difference."""
    return [
        *_tests(comparison),
        _wins(comparison),
        _mean_difference(comparison.overall, len(comparison.per_setting)),
    ]


def _tests(comparison: Comparison) -> list[str]:
    differences = [setting.difference for setting in comparison.per_setting if setting.difference]
    if not differences:
        return []
    tests = ", ".join(sorted({TEST_TEXT[difference.test] for difference in differences}))
    noun = "setting" if len(differences) == 1 else "settings"
    return [
        f"Paired tests on the same examples: {tests}; p-values adjusted for {len(differences)} "
        f"{noun} (Holm)."
    ]


def _wins(comparison: Comparison) -> str:
    count = tally(comparison.per_setting)
    return (
        f"{comparison.a} is significantly better in {count['a']}, {comparison.b} in {count['b']}; "
        f"statistically tied in {count['neither']}, not tested in {count['untested']}."
    )


def _mean_difference(overall: MeanDifference | None, settings: int) -> str:
    if overall is None:
        return "No mean difference over settings: their metrics are on different scales."
    difference = difference_text("top1", overall.value, overall.low, overall.high)
    noun = "setting" if settings == 1 else "settings"
    return (
        f"Mean difference over {settings} {noun}, in percentage points: {difference} "
        f"({OVERALL_TEXT[overall.basis]})."
    )
