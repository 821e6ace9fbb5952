"""The last lines of a run: which backbone to take, how sure that is, and what would decide."""

from collections.abc import Sequence

from bob.datasets.own_names import shown_dataset
from bob.leaderboards.advice import Advice, Alternative
from bob.leaderboards.pairwise import MeanDifference
from bob.leaderboards.references import is_clear_of_majority
from bob.leaderboards.render.advice import (
    baseline_sentences,
    baselines_alone_sentences,
    preferable_sentences,
)
from bob.leaderboards.render.text import listed, unit_text
from bob.statistics.power import examples_needed

MOST_GAPS = 4
"""Backbones whose distance to the best is stated."""
SMALLEST_DIFFERENCE = 0.01
"""No number of examples is stated for a smaller difference: it would matter to nobody."""


def conclusion_sentences(advice: Advice) -> list[str]:
    """Return the result of a run as sentences; none without a score."""
    if advice.has_baselines_alone:
        return baselines_alone_sentences(advice)
    if advice.pick is None:
        return _nothing_ranked(advice)
    if len(advice.ranking.standings) == 1:
        return [
            f"{advice.pick.backbone} is the only backbone beside baselines: nothing was compared.",
            *_majority(advice),
            *baseline_sentences(advice),
        ]
    if advice.ranking.basis == "none":
        return [
            f"{advice.pick.backbone} has the best scores {_where(advice)}; whether the others are "
            "worse cannot be tested with these results."
        ]
    return [
        _choice(advice, advice.pick.backbone),
        *preferable_sentences(advice),
        *baseline_sentences(advice),
        *_adjustment(advice),
        *_needed(advice),
        *_worse(advice),
        *_majority(advice),
    ]


def _nothing_ranked(advice: Advice) -> list[str]:
    if not advice.backbones:
        return []
    return [
        "No backbone has a score in every setting, so none is recommended. The leaderboard says "
        "why: "
        f"{listed(advice.backbones)}."
    ]


def _choice(advice: Advice, best: str) -> str:
    """Return which backbones to choose from, and why."""
    gaps = _gaps(advice.tied)
    if len(advice.tied) == 1:
        other = advice.tied[0].backbone
        return f"Take {best} or {other}: {_where(advice)} they cannot be told apart{gaps}."
    if advice.tied:
        names = listed([best, *(other.backbone for other in advice.tied[:-1])])
        return (
            f"Take {names} or {advice.tied[-1].backbone}: {_where(advice)} none of them can be "
            f"told apart from {best}{gaps}."
        )
    all_others = "all that were tested against it" if advice.untested else "all others"
    return f"Take {best}: {_where(advice)} it is significantly better than {all_others}."


def _adjustment(advice: Advice) -> list[str]:
    """Explain why an interval without 0 does not tell a pair apart, where there is one."""
    names = [other.backbone for other in advice.tied[:MOST_GAPS] if _leaves_out_0(other.change)]
    if not names:
        return []
    intervals, leave = ("interval", "leaves") if len(names) == 1 else ("intervals", "leave")
    more = (
        " Over several settings, the tests compare mean z-scores, in which every setting counts "
        "alike, however far apart its scores are."
    )
    return [
        f"The {intervals} of {listed(names)} {leave} out 0 without deciding: of several backbones "
        "compared at once, some seem to differ by chance, for which the tests allow (Holm's "
        f"correction).{more if len(advice.ranking.settings) > 1 else ''}"
    ]


def _leaves_out_0(change: MeanDifference | None) -> bool:
    if change is None or change.low is None or change.high is None:
        return False
    return change.low * change.high > 0


def _worse(advice: Advice) -> list[str]:
    sentences = []
    count = len(advice.candidates) - 1 - len(advice.tied) - len(advice.untested)
    if count:
        names = [
            f"{other.backbone} ({_gap(other.change)})" if other.change else other.backbone
            for other in advice.worse
        ]
        more = f" and {count - len(names)} more" if count > len(names) else ""
        sentences.append(f"Significantly worse: {', '.join(names)}{more}.")
    if advice.untested:
        sentences.append(f"Not tested against it: {listed(advice.untested)}.")
    return sentences


def _where(advice: Advice) -> str:
    """Return what the comparison rests on."""
    settings = advice.ranking.settings
    if len(settings) > 1:
        tasks = {setting.task for setting in settings}
        datasets = sorted({setting.dataset for setting in settings})
        where = shown_dataset(datasets[0]) if len(datasets) == 1 else f"{len(datasets)} datasets"
        if len(settings) != len(tasks) * len(datasets):
            return f"over {len(settings)} settings (a task on a dataset each) on {where}"
        return f"over {len(tasks)} task{'' if len(tasks) == 1 else 's'} on {where}"
    examples = _examples(advice)
    many = f"{examples:,} test examples" if examples else "test examples"
    return f"in task {settings[0].task} on the {many} of {shown_dataset(settings[0].dataset)}"


def _examples(advice: Advice) -> int | None:
    """Return the number of test examples of a single setting."""
    (column, *others) = advice.ranking.settings
    cells = [row[column] for row in advice.ranking.data.ranked.values()]
    return None if others else min((cell.n for cell in cells if cell.n), default=None)


def _gaps(others: Sequence[Alternative]) -> str:
    """Return ` (B: 1.2 points behind, 95 % interval -0.3 to 2.7)`; empty where scales differ."""
    texts = [
        f"{other.backbone}: {_gap(other.change)}"
        for other in others[:MOST_GAPS]
        if other.change is not None
    ]
    return f" ({'; '.join(texts)})" if texts else ""


def _gap(change: MeanDifference) -> str:
    """Return a difference to the best in words."""
    sign, word = (1, "ahead") if change.value > 0 else (-1, "behind")
    text = f"{abs(100 * change.value):.1f} points {word}"
    if change.low is None or change.high is None:
        return text
    limits = sorted((sign * 100 * change.low, sign * 100 * change.high))
    low, high = (round(limit, 1) + 0.0 for limit in limits)  # -0.0 becomes 0.0
    return f"{text}, 95 % interval {low:.1f} to {high:.1f}"


def _needed(advice: Advice) -> list[str]:
    """Return how many test examples would tell the best from the next, in a single setting."""
    examples = _examples(advice)
    change = advice.tied[0].change if advice.tied else None
    if not examples or change is None or change.low is None or change.high is None:
        return []
    difference = max(abs(change.value), SMALLEST_DIFFERENCE)
    count = examples_needed(change.low, change.high, examples, difference)
    if count <= examples:
        return []
    return [
        f"About {rounded_count(count):,} test examples would be needed to detect a difference of "
        f"{100 * difference:.1f} points (power 80 %)."
    ]


def _majority(advice: Advice) -> list[str]:
    """Report that all backbones clear the majority class; notes name those that do not."""
    rows = advice.ranking.data.ranked.values()
    cells = [row[column] for row in rows for column in advice.ranking.settings]
    known = {cell.majority for cell in cells if cell.majority is not None}
    if not known or not all(is_clear_of_majority(cell) for cell in cells):
        return []
    who = "All are" if len(rows) > 1 else "It is"
    if len(advice.ranking.settings) > 1:
        return [f"{who} better than the majority class in every setting that has classes."]
    share = unit_text(cells[0].metric, max(known))
    return [f"{who} better than the majority class ({share})."]


def rounded_count(count: int) -> int:
    """Round a count to two digits: it follows from an estimated variance."""
    return int(float(f"{count:.1e}"))
