"""How many test images would tell two backbones apart in the settings in which they are tied."""

from collections.abc import Sequence

from bob.leaderboards.pairwise import PairedComparison
from bob.leaderboards.render.conclusion import SMALLEST_DIFFERENCE, rounded_count
from bob.statistics.power import discordant_examples_needed

MOST_SETTINGS = 3
"""Settings that the sentence names."""


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
