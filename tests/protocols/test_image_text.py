"""Image-text retrieval: recall in both directions against Karpathy's ranks, and known answers."""

from typing import Any

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.errors import ConfigError, NotApplicableError, UndefinedError
from bob.metrics import metric_named
from bob.metrics.intervals import interval
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.outcomes import RecallSums
from bob.protocols.image_text import PROTOCOL, ImageTextProblem, ImageTextSettings
from bob.protocols.protocol import Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.yaml import build
from tests.builders.protocols import BASELINE, TWO_TOWERS, make_inputs
from tests.builders.splits import features_from, make_dataset, make_split

DIRECTIONS = ("text_to_image", "image_to_text")


def solve(images: Floats, texts: Floats, image_of: Ints, *k: int) -> Result:
    problem = ImageTextProblem(images, texts, image_of)
    return PROTOCOL.solve(problem, ImageTextSettings(k=k), "cpu")


def hit_at(part: ResultPart) -> float:
    return metric_named("hit_at").function(part.outcome)


def dataset(**facts: Any) -> Dataset:
    return make_dataset({"test": make_split("abc", [0, 1, 1], **facts)})


def slow_recall(similarity: Doubles, image_of: Ints, k: int) -> tuple[float, float]:
    """Return (text to image, image to text) as Karpathy's script: by the rank of the image, and by
    the best rank of its captions.
    """
    of_text = [
        int((row > row[image]).sum()) < k for row, image in zip(similarity, image_of, strict=True)
    ]
    of_image = []
    for image in range(similarity.shape[1]):
        order = np.argsort(-similarity[:, image])
        captions = np.flatnonzero(image_of == image)
        ranks = [int(np.flatnonzero(order == caption)[0]) for caption in captions]
        of_image.append(min(ranks) < k)
    return float(np.mean(of_text)), float(np.mean(of_image))


@pytest.mark.parametrize("seed", range(4))
def test_recall_in_both_directions_with_several_captions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(30, 12)).astype(np.float32)
    image_of = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    texts = (images[image_of] + 1.5 * rng.normal(size=(len(image_of), 12))).astype(np.float32)
    parts = {part.suffix: part for part in solve(images, texts, image_of, 1, 5, 10).parts}
    wide_texts, wide_images = (
        rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=-1, keepdims=True)
        for rows in (texts, images)
    )
    similarity = wide_texts @ wide_images.T
    for k in (1, 5, 10):
        recall = tuple(hit_at(parts[f"{direction}_k{k}"]) for direction in DIRECTIONS)
        assert recall == pytest.approx(slow_recall(similarity, image_of, k), abs=1e-12)
    headline = parts[""].outcome
    assert headline is not None and len(headline) == len(texts)
    assert parts["image_to_text_k5"].facets == {"direction": "image_to_text", "k": 5}


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (1, 0.0)])
def test_captions_of_their_own_image_and_of_another(shift: int, expected: float) -> None:
    eye = np.eye(4, dtype=np.float32)
    result = solve(eye, np.roll(eye, shift, axis=0), np.arange(4), 1, 4)
    recall = {part.suffix: hit_at(part) for part in result.parts if "k" in part.facets}
    assert recall[""] == expected
    for direction in DIRECTIONS:
        assert recall[f"{direction}_k1"] == expected and recall[f"{direction}_k4"] == 1.0


def test_captions_of_unreadable_images_are_excluded() -> None:
    settings, data = ImageTextSettings(k=(1, 5)), dataset(captions=[("x",), ("y", "z"), ("w",)])
    needs = PROTOCOL.needs(settings, data, TWO_TOWERS)
    eye = np.eye(3, dtype=np.float32)
    features = {
        "test": features_from(eye[[0, 2]], [0, 2]),
        "texts": features_from(eye[[0, 1, 1, 2]]),
    }
    problem = PROTOCOL.build(settings, data, needs, make_inputs(features), seed=0)
    result = PROTOCOL.solve(problem, settings, "cpu")
    assert result.detail == {"images": 2, "captions": 2, "tied_positives": 0}
    assert metric_named("hit_at").function(result.outcome) == 1.0


@pytest.mark.parametrize(
    ("backbone", "facts", "reason", "subject"),
    [
        (BASELINE, {"captions": [("x",)] * 3}, "needs a text tower", "backbone"),
        (TWO_TOWERS, {}, "needs captions; dataset 'd' has none", "dataset"),
    ],
)
def test_a_text_tower_and_captions_are_needed(
    backbone: BackboneSpec, facts: dict[str, Any], reason: str, subject: str
) -> None:
    with pytest.raises(NotApplicableError, match=reason) as caught:
        PROTOCOL.needs(ImageTextSettings(k=(1,)), dataset(**facts), backbone)
    assert caught.value.subject == subject


def test_k_must_ascend() -> None:
    with pytest.raises(ConfigError, match=r"k must ascend; got \[5, 1\]"):
        build(ImageTextSettings, {"k": [5, 1]}, "x")


def test_rsum_is_the_sum_of_all_six_recalls() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(30, 12)).astype(np.float32)
    image_of = np.repeat(np.arange(30), 2)
    texts = (images[image_of] + 2 * rng.normal(size=(60, 12))).astype(np.float32)
    parts = {part.suffix: part for part in solve(images, texts, image_of, 1, 5, 10).parts}
    (together,) = (
        part for part in solve(images, texts, image_of, 1, 5, 10).parts if part.metrics == ("rsum",)
    )
    rsum = metric_named("rsum").function(together.outcome)
    recalls = [hit_at(parts[f"{side}_k{k}"]) for side in DIRECTIONS for k in (1, 5, 10)]
    assert rsum == pytest.approx(sum(recalls)) and 0 < rsum < 6
    _, low, high, _ = interval("rsum", together.outcome, 0)
    assert low is not None and high is not None and 0 < low < rsum < high < 6
    with pytest.raises(UndefinedError, match="rsum needs queries in both directions"):
        metric_named("rsum").function(together.outcome.take(np.arange(60)))
    with pytest.raises(ValueError, match=r"found must have shape \(Q, 3\)"):
        RecallSums(np.zeros((2, 2)), np.zeros(2, np.int64))
