"""Comparison."""

from rich.table import Table
from rich.text import Text

from bob.leaderboard.pairwise import Comparison, Duel, tally
from bob.leaderboard.render.text import limits_words, value_text


def comparison_table(found: Comparison) -> Table:
    """Backbones stand as A and B in it: their names would take the room of the numbers."""
    table = Table(title=Text(f"A: {found.a}\nB: {found.b}"), title_justify="left")
    for head in ("setting", "metric", "A", "B", "A - B, 95 %", "p", "p (Holm)", "verdict"):
        table.add_column(head, overflow="fold", no_wrap=head.startswith(("A", "B", "p")))
    for duel in found.duels:
        table.add_row(*map(Text, _fields(duel)))
    return table


def _fields(duel: Duel) -> list[str]:
    gap = duel.difference
    difference = "–" if gap is None else limits_words(duel.metric, gap.value, gap.low, gap.high)
    p = ["–", "–"] if gap is None or duel.p is None else [_p_text(gap.p), _p_text(duel.p)]
    verdict = _verdict(duel, "A", "B")
    return [
        str(duel.column),
        duel.metric,
        value_text(duel.metric, duel.a),
        value_text(duel.metric, duel.b),
        difference,
        *p,
        verdict,
    ]


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _verdict(duel: Duel, a: str, b: str) -> str:
    if duel.p is None:
        return "not tested: no per-example results of the same examples"
    return {1: f"{a} is better", -1: f"{b} is better", 0: "not told apart"}[duel.winner]


TEST_TEXT = {
    "mcnemar": "exact McNemar",
    "sign_flip": "sign-flip permutation",
    "t": "paired t",
    "bootstrap": "paired bootstrap",
}


def comparison_sentences(found: Comparison) -> list[str]:
    """Which tests, how many wins, and the mean difference."""
    count, tests = (
        tally(found.duels),
        sorted({TEST_TEXT[duel.difference.test] for duel in found.duels if duel.difference}),
    )
    tested = len(found.duels) - count["untested"]
    lines = (
        [
            f"Tests on the same examples: {', '.join(tests)}; p adjusted for {tested} settings (Holm)."
        ]
        if tests
        else []
    )
    undecided = f"not told apart in {count['neither']}, not tested in {count['untested']}"
    lines.append(f"{found.a} is better in {count['a']}, {found.b} in {count['b']}, {undecided}.")
    overall = found.overall
    if overall is None:
        return [*lines, "No mean over settings: their metrics are on different scales."]
    source = {
        "datasets": "over the datasets",
        "examples": "over the examples; too few datasets to test over them",
        "none": "",
    }[overall.basis]
    told = (
        "not known how sure: too few datasets, and no per-example results"
        if overall.low is None
        else source
    )
    return [
        *lines,
        f"Mean difference over {len(found.duels)} settings: {limits_words('top1', overall.value, overall.low, overall.high)} ({told}).",
    ]
