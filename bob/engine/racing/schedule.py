"""How many images of each split a race has embedded after each step, and which it scores then.

Every step embeds more train and test images, by a factor of 1.1, or 1.05 in retrieval. Where
train images are scored, each is scored by probes fitted to the train images of the steps before it,
and is trained on afterwards. In retrieval the images of the steps before are the gallery of new
queries, which join it afterwards. Every image is scored once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

GROWTH, GALLERY_GROWTH = 1.1, 1.05
"""How many times as many images are embedded after each step as before it, at least."""
LEAST_FIRST_SHARE, LAST_SHARE = 1 / 64, 0.9
"""Shares of the images that are embedded first at least, and after the last step at most."""
LEAST_STEP, LEAST_SHARE = 48, 1 / 24
"""Images that a step embeds at least, or a share of all: each step takes time of its own."""
LEAST_GALLERY, LEAST_GALLERY_SHARE = 10, 1 / 60
"""Images of the first gallery and of a step at least; the latter are a sixtieth, or LEAST_STEP."""
TEST_FACTOR = 4
"""How much larger the share of test images is where they are the only ones that are scored."""
LEAST_PER_CLASS = 2
"""Train images per class that probes are fitted to, so that some can be held out."""
LEAST_TEST = 20


@dataclass(frozen=True)
class RaceStep:
    """A look at the race. Images are the first ones of the race's order of each split."""

    counts: Mapping[str, int]
    """Split → number of its images that are embedded."""
    fitted: Mapping[str, int]
    """Split (train, perhaps val) → number of images that probes are fitted to or chosen on; or test
    → size of the gallery."""
    scored: Mapping[str, range]
    """Split (test, perhaps train) → its images that are scored, none of which was before."""

    @property
    def train(self) -> int:
        """Train and val images that are embedded."""
        return self.counts.get("train", 0) + self.counts.get("val", 0)

    @property
    def test(self) -> int:
        return self.counts["test"]

    @property
    def text(self) -> str:
        """How many images are embedded: `90 images (60 train, 30 test)`."""
        total = f"{self.train + self.test:,} images"
        return f"{total} ({self.train:,} train, {self.test:,} test)" if self.train else total


def gallery_schedule(images: int) -> tuple[RaceStep, ...]:
    """Return the steps of a race of leave-one-out retrieval among so many test images."""
    least = max(LEAST_GALLERY, min(LEAST_STEP, images * LEAST_GALLERY_SHARE))
    shares = _shares(max(LEAST_FIRST_SHARE, least / images), least / images, GALLERY_GROWTH)
    sizes = [round(images * share) for share in shares]
    return tuple(
        RaceStep({"test": after}, {"test": before}, {"test": range(before, after)})
        for before, after in pairwise(sizes)
    )


def schedule(counts: Mapping[str, int], classes: int, scores_train: bool) -> tuple[RaceStep, ...]:
    """Return the steps of a race; none where train is too small for two images of each class.

    counts: split (train, test, perhaps val) → number of its images.
    """
    factor = 1 if scores_train else TEST_FACTOR
    images = sum(counts.values())
    least = min(LEAST_STEP / images, LEAST_SHARE)
    first = max(LEAST_FIRST_SHARE, least, LEAST_PER_CLASS * classes / counts["train"])
    embedded = [_embedded(counts, share, factor) for share in _shares(first, least, GROWTH)]
    steps, tested = [], 0
    for number, after in enumerate(embedded):
        fitted = after
        scored = {"test": range(tested, after["test"])}
        if scores_train:
            if number == 0:  # there is no probe yet
                continue
            fitted = embedded[number - 1]
            scored["train"] = range(fitted["train"], after["train"])
        if any(scored.values()):
            fitted = {name: n for name, n in fitted.items() if name != "test"}
            steps.append(RaceStep(after, fitted, scored))
            tested = after["test"]
    return tuple(steps)


def _shares(first: float, least: float, growth: float) -> list[float]:
    """Return the shares of images that are embedded after each step, `least` apart at least."""
    shares, share = [], first
    while share <= LAST_SHARE:
        shares.append(share)
        share = max(share * growth, share + least)
    return shares


def _embedded(counts: Mapping[str, int], share: float, test_factor: int) -> dict[str, int]:
    embedded = {name: max(1, round(n * share)) for name, n in counts.items()}
    test = max(LEAST_TEST, round(counts["test"] * share * test_factor))
    return embedded | {"test": min(counts["test"], test)}
