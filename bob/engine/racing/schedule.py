"""How many images of each split a race has embedded after each step.

A race has rungs: numbers of train images, each twice the one before. Within a rung, probes are
fitted to these train images, and test images are added block by block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TRAIN_SHARES = (1 / 8, 1 / 4, 1 / 2)
"""Share of train images at each rung."""
TEST_SHARES = (1 / 4, 1 / 2, 1.0)
"""Share of test images after each step of the first rung; later rungs begin with all."""
LEAST_PER_CLASS = 2
"""Train images per class at the first rung, so that some can be held out."""
LEAST_TEST = 20


@dataclass(frozen=True)
class RaceStep:
    """A look at the race."""

    rung: int
    counts: Mapping[str, int]
    """Split → number of its images, the first ones of the race's order."""

    @property
    def train(self) -> int:
        """Images that probes are fitted to or chosen on."""
        return self.counts["train"] + self.counts.get("val", 0)

    @property
    def test(self) -> int:
        return self.counts["test"]


def schedule(counts: Mapping[str, int], classes: int) -> tuple[RaceStep, ...]:
    """Return the steps of a race; none where train is too small for two of a class at a half.

    counts: split (train, test, perhaps val) → number of its images.
    """
    least = LEAST_PER_CLASS * classes
    shares = [share for share in TRAIN_SHARES if share * counts["train"] >= least]
    steps = []
    for rung, share in enumerate(shares):
        sizes = {name: _part(n, share) for name, n in counts.items() if name != "test"}
        for test in _test_counts(counts["test"]) if rung == 0 else [counts["test"]]:
            steps.append(RaceStep(rung, {**sizes, "test": test}))
    return tuple(steps)


def rungs(steps: Sequence[RaceStep]) -> int:
    """Return the number of rungs."""
    return len({step.rung for step in steps})


def _part(count: int, share: float) -> int:
    return max(1, round(count * share))


def _test_counts(count: int) -> list[int]:
    """Return ascending numbers of test images, the last of which is all."""
    parts = {min(count, max(LEAST_TEST, _part(count, share))) for share in TEST_SHARES}
    return sorted(parts)
