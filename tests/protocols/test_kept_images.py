"""Images whose predictions are kept: a sample, and the worst."""

import numpy as np
import pytest

from bob.features.shard import Arrays
from bob.protocols import kept_images
from bob.protocols.kept_images import KeptImages, kept_of
from tests.builders.splits import digests, make_split


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_images, "SAMPLED", 1)
    monkeypatch.setattr(kept_images, "WORST", 2)


def kept(choice: KeptImages, scores: list[float], shard: int) -> Arrays:
    """Add images with these scores, in shards; of each, its position is kept as an array."""
    parts = []
    for start in range(0, len(scores), shard):
        part = choice.start({"twice": np.zeros(0, np.int64)})
        for i, score in list(enumerate(scores))[start : start + shard]:
            choice.add(part, i, score, {"twice": np.array(2 * i)})
        parts.append(part)
    return kept_of(choice.merge(parts))


@pytest.mark.parametrize("shard", [1, 2, 5])
def test_a_sample_and_the_worst_of_all_shards_are_kept(shard: int) -> None:
    """Image 1 is the sample; 4 and 2 have the lowest scores, of equal ones the first."""
    of = kept(KeptImages(np.array([1])), [0.9, 0.8, 0.3, 0.3, 0.1], shard)
    assert of["position"].tolist() == [1, 2, 4] and of["twice"].tolist() == [2, 4, 8]
    assert of["score"].tolist() == [0.8, 0.3, 0.1]
    assert of["sampled"].tolist() == [True, False, False]


def test_images_without_a_score_are_not_the_worst() -> None:
    of = kept(KeptImages(np.array([0])), [np.nan, np.nan, 0.5, np.nan], 2)
    assert of["position"].tolist() == [0, 2]


def test_the_sample_does_not_depend_on_the_order_of_images() -> None:
    content = digests(5)
    (first,) = KeptImages.of(make_split(content, [0] * 5)).sampled
    (reversed_first,) = KeptImages.of(make_split(content[::-1], [0] * 5)).sampled
    assert first == 4 - reversed_first
