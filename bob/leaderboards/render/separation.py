"""How many test images would tell two backbones apart in the settings in which they are tied."""

from collections.abc import Sequence
from typing import Any

from bob.leaderboards.pairwise import PairedComparison
from bob.leaderboards.render.conclusion import SMALLEST_DIFFERENCE, rounded_count
from bob.statistics.power import discordant_examples_needed

MOST_SETTINGS = 3
"""Settings that the sentence names."""
ASSUMPTION = (
    "These are numbers for one paired test at 5 % with a power of 80 %, if the two differ on more "
    "images as on those seen."
)
NO_CURVES = (
    "Whether more train images would turn the order is not known: no task with a learning curve, "
    "such as learning_curve, has a record of both."
)


def images_to_separate(pair: PairedComparison) -> int | None:
    """Return the number of test images for a power of 80 % if the discordance is as observed.

    None where images are not right or wrong, or where both have as many right.
    """
    counts = pair.complementarity
    if counts is None:
        return None
    return discordant_examples_needed(counts.only_a, counts.only_b, counts.n)


def separation_sentence(pairs: Sequence[PairedComparison]) -> str:
    """Return what would tell the two apart; empty where nothing is tied by a visible difference."""
    texts = []
    for pair in pairs:
        needed, counts = images_to_separate(pair), pair.complementarity
        if pair.relation != "tied" or needed is None or counts is None or needed <= counts.n:
            continue
        if abs(pair.a - pair.b) >= SMALLEST_DIFFERENCE:
            more = rounded_count(needed - counts.n)
            texts.append(f"{pair.column}: {more:,} more than the {counts.n:,}")
    if not texts:
        return ""
    rest = f"; --json has {len(texts) - MOST_SETTINGS} more" if len(texts) > MOST_SETTINGS else ""
    return (
        "Test images that would tell them apart, if they differ as observed (power 80 %, one test "
        f"at 5 %): {'; '.join(texts[:MOST_SETTINGS])}{rest}."
    )


def separation_line(pair: PairedComparison) -> str:
    """Return how many test images would tell A from B in a setting, tied or not."""
    counts, needed = pair.complementarity, images_to_separate(pair)
    if counts is None:
        return f"{pair.column}: not computed, since {pair.metric} is no share of right images."
    alone = (
        f"{pair.column}: of {counts.n:,} test images {counts.only_a:,} are right with A alone, "
        f"{counts.only_b:,} with B alone"
    )
    if needed is None:
        return f"{alone}: as many, so that no number of images tells them apart."
    if needed <= counts.n:
        return f"{alone}: {rounded_count(needed):,} are enough, and no more are needed."
    more = rounded_count(needed - counts.n)
    return f"{alone}: {rounded_count(needed):,} would tell them apart, {more:,} more."


def separation_row(pair: PairedComparison) -> dict[str, Any]:
    """Return the numbers of a setting as plain values; None where there are none."""
    counts, needed = pair.complementarity, images_to_separate(pair)
    return {
        "task": pair.column.task,
        "dataset": pair.column.dataset,
        "images": counts and counts.n,
        "only_a": counts and counts.only_a,
        "only_b": counts and counts.only_b,
        "images_needed": needed,
        "more_images": None if counts is None or needed is None else max(0, needed - counts.n),
    }
