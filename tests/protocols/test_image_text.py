"""Image-text retrieval: recall in both directions against Karpathy's ranks, and known answers."""

from typing import Any

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.errors import ConfigError, NotApplicableError, UndefinedError
from bob.metrics import metric_named
from bob.metrics.intervals import interval
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.outcomes import FirstPlaces, RecallSums
from bob.protocols.image_text import PROTOCOL, ImageTextProblem, ImageTextSettings
from bob.protocols.protocol import Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.yaml import build
from tests.builders.protocols import BASELINE, TWO_TOWERS, make_inputs
from tests.builders.splits import features_from, make_dataset, make_split

DIRECTIONS = ("text_to_image", "image_to_text")


def solve(
    images: Floats, texts: Floats, image_of: Ints, *k: int, fold_images: int = 1000
) -> Result:
    problem = ImageTextProblem(images, texts, image_of)
    return PROTOCOL.solve(problem, ImageTextSettings(k=k, fold_images=fold_images), "cpu")


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
    settings = ImageTextSettings(k=(1, 5), fold_images=1000)
    data = dataset(captions=[("x",), ("y", "z"), ("w",)])
    needs = PROTOCOL.needs(settings, data, TWO_TOWERS)
    eye = np.eye(3, dtype=np.float32)
    features = {
        "test": features_from(eye[[0, 2]], [0, 2]),
        "texts": features_from(eye[[0, 1, 1, 2]]),
    }
    problem = PROTOCOL.build(settings, data, needs, make_inputs(features), seed=0)
    result = PROTOCOL.solve(problem, settings, "cpu")
    assert result.detail == {"images": 2, "captions": 2, "tied_positives": 0, "folds": 0}
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
        settings = ImageTextSettings(k=(1,), fold_images=1000)
        PROTOCOL.needs(settings, dataset(**facts), backbone)
    assert caught.value.subject == subject


def test_k_must_ascend() -> None:
    with pytest.raises(ConfigError, match=r"k must ascend; got \[5, 1\]"):
        build(ImageTextSettings, {"k": [5, 1], "fold_images": 1000}, "x")


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


def median_ranks(result: Result) -> dict[str, float]:
    return {
        part.suffix: metric_named("median_rank").function(part.outcome)
        for part in result.parts
        if part.metrics == ("median_rank",)
    }


def test_median_ranks_by_hand() -> None:
    """Three images on the axes; the captions' cosines order the images as follows.

    Captions of image 0: (3, 2, 1) finds it first; (1, 2, 3) third. Of image 1: (3, 1, 2) third.
    Of image 2: (3, 1, 2) second. Places 1, 3, 3, 2 have the median 2.5, which is rounded down.

    All captions have one length, so that images order captions by their coordinates. Image 0: its
    captions have 3 and 1, the two others 3: one of its own is tied with both others for the first
    three places, and has the expected place 2. Image 1: its caption has 1, the others 2, 2, 1: it
    shares the places 3 and 4, 3.5. Image 2: its caption has 2, the others 1, 3, 2: 2.5. The median
    of 2, 3.5 and 2.5 is 2.5.
    """
    texts = np.array([[3, 2, 1], [1, 2, 3], [3, 1, 2], [3, 1, 2]], np.float32)
    result = solve(np.eye(3, dtype=np.float32), texts, np.array([0, 0, 1, 2]), 1)
    assert median_ranks(result) == {"text_to_image": 2.0, "image_to_text": 2.0}


def test_equal_features_have_the_middle_place() -> None:
    """The only positive of 5 tied items has the expected place 3."""
    same = np.ones((5, 2), np.float32)
    assert set(median_ranks(solve(same, same, np.arange(5), 1)).values()) == {3.0}


def test_a_median_rank_needs_queries() -> None:
    with pytest.raises(UndefinedError, match="no query has a positive"):
        metric_named("median_rank").function(FirstPlaces(np.zeros(0)))


def test_folds_are_the_mean_of_consecutive_parts() -> None:
    """Five folds of 6 images and one image left over, each solved by itself."""
    rng = np.random.default_rng(3)
    images = rng.normal(size=(31, 8)).astype(np.float32)
    image_of = np.repeat(np.arange(31), 2)
    texts = (images[image_of] + rng.normal(size=(62, 8))).astype(np.float32)
    result = solve(images, texts, image_of, 1, 5, fold_images=6)
    parts = {(part.suffix, part.metrics): part for part in result.parts}
    alone = [
        solve(images[start : start + 6], texts[2 * start : 2 * start + 12], image_of[:12], 1, 5)
        for start in range(0, 30, 6)
    ]
    of_folds = [{(part.suffix, part.metrics): part for part in fold.parts} for fold in alone]
    for direction in DIRECTIONS:
        for k in (1, 5):
            each = [hit_at(fold[f"{direction}_k{k}", "all"]) for fold in of_folds]
            assert hit_at(parts[f"{direction}_k{k}_of6", "all"]) == pytest.approx(np.mean(each))
    rsums = [metric_named("rsum").function(fold["both", ("rsum",)].outcome) for fold in of_folds]
    together = parts["both_of6", ("rsum",)]
    assert metric_named("rsum").function(together.outcome) == pytest.approx(np.mean(rsums))
    assert together.facets == {"direction": "both", "fold_images": 6}
    assert result.detail["folds"] == 5
    assert "both_of20" not in {part.suffix for part in solve(images, texts, image_of, 1).parts}
