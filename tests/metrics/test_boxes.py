"""Average precision: by hand, against pycocotools, and resamples against repeated images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchmetrics.detection import MeanAveragePrecision

from bob.datasets.boxes import ImageBoxes
from bob.errors import UndefinedError
from bob.metrics import metric_named
from bob.metrics.boxes import (
    average_precision,
    box_ap,
    box_ap_50,
    box_ap_75,
    box_ap_large,
    box_ap_small,
    box_ap_voc07,
)
from bob.metrics.intervals import interval, resampled
from bob.numerics.dense.box_matching import RIGHT as STATE_RIGHT
from bob.numerics.dense.box_matching import WRONG as STATE_WRONG
from bob.numerics.dense.detections import Detections
from bob.outcomes import BoxMatches
from bob.protocols.box_statistics import outcome_of
from tests.builders.boxes import image_boxes, random_boxes, random_detections

CLASSES, IMAGES = 4, 25
OFFICIAL = {
    "box_ap": "map",
    "box_ap_50": "map_50",
    "box_ap_75": "map_75",
    "box_ap_small": "map_small",
    "box_ap_medium": "map_medium",
    "box_ap_large": "map_large",
}
"""Metric → its name in torchmetrics."""


def detections(*rows: tuple[list[float], float, int]) -> Detections:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ([], [], [])
    return Detections(np.reshape(boxes, (-1, 4)), np.array(scores), np.array(labels, np.int64))


def one_class(*found: Detections, true: int = 2) -> BoxMatches:
    """Return matches of images with `true` boxes of 10 x 10 px, 50 px apart."""
    boxes = [[50.0 * k, 0, 50.0 * k + 10, 10] for k in range(true)]
    return outcome_of(found, [image_boxes(boxes, [0] * true)] * len(found), 1)


RIGHT_1, RIGHT_2, WRONG = [0, 0, 10, 10], [50, 0, 60, 10], [200, 200, 210, 210]


def test_a_wrong_box_between_two_right_ones() -> None:
    """Recalls 0 to 0.5 (51 of 101) at precision 1; 0.51 to 1 (50) at 2/3."""
    outcome = one_class(detections((RIGHT_1, 0.9, 0), (WRONG, 0.8, 0), (RIGHT_2, 0.7, 0)))
    assert box_ap_50(outcome) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert box_ap(outcome) == box_ap_small(outcome) == pytest.approx(box_ap_50(outcome))


def test_a_box_half_as_wide_is_right_up_to_an_overlap_of_a_half() -> None:
    """5 x 10 of 10 x 10 px: right at 0.5, wrong at 0.55 to 0.95."""
    outcome = one_class(detections(([0, 0, 5, 10], 0.9, 0)), true=1)
    assert box_ap_50(outcome) == 1 and box_ap_75(outcome) == 0
    assert box_ap(outcome) == pytest.approx(1 / 10)


def test_a_second_detection_of_an_object_is_wrong() -> None:
    """Precision 1 at recall 0.5 and 2/3 at 1, as one of three is a repetition."""
    outcome = one_class(detections((RIGHT_1, 0.9, 0), (RIGHT_1, 0.8, 0), (RIGHT_2, 0.7, 0)))
    assert box_ap_50(outcome) == pytest.approx((51 + 50 * 2 / 3) / 101)


@pytest.mark.parametrize("kind", ["crowds", "difficult"])
def test_ignored_objects_are_neither_missed_nor_wrong(kind: str) -> None:
    """Two detections of the ignored object, before one of the object that counts."""
    true = image_boxes([RIGHT_1, RIGHT_2], [0, 0], **{kind: [True, False]})  # type: ignore[arg-type]
    found = detections((RIGHT_1, 0.9, 0), (RIGHT_1, 0.8, 0), (RIGHT_2, 0.7, 0))
    assert box_ap(outcome_of([found], [true], 1)) == 1


def test_a_small_part_of_a_crowd_is_neutral_and_of_a_difficult_object_wrong() -> None:
    """A tenth of the ignored object, then the object that counts."""
    found = detections(([0, 0, 1, 10], 0.9, 0), (RIGHT_2, 0.7, 0))
    values = [
        box_ap(outcome_of([found], [image_boxes([RIGHT_1, RIGHT_2], [0, 0], *flags)], 1))
        for flags in ([(True, False)], [(), (True, False)])
    ]
    assert values == pytest.approx([1, 1 / 2])


def test_true_boxes_as_detections_are_perfect() -> None:
    rng = np.random.default_rng(0)
    true = [random_boxes(rng, 8, CLASSES) for _ in range(IMAGES)]
    found = [Detections(of.xyxy, np.linspace(0.9, 0.1, 8), of.labels) for of in true]
    outcome = outcome_of(found, true, CLASSES)
    for name in OFFICIAL:
        assert metric_named(name).function(outcome) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
def test_random_detections_score_as_pycocotools_scores_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = [random_boxes(rng, int(rng.integers(0, 12)), CLASSES) for _ in range(IMAGES)]
    found = [random_detections(rng, of, 40, CLASSES) for of in true]
    # torchmetrics' own thresholds are pycocotools' rounded to float32
    official = MeanAveragePrecision(
        backend="pycocotools",
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
    )
    official.update(
        [
            {
                "boxes": torch.from_numpy(of.xyxy.astype(np.float32)),
                "scores": torch.from_numpy(of.scores.copy()),
                "labels": torch.from_numpy(of.labels),
            }
            for of in found
        ],
        [
            {
                "boxes": torch.from_numpy(of.xyxy.astype(np.float32)),
                "labels": torch.from_numpy(of.labels),
                "iscrowd": torch.from_numpy(of.ignored.astype(np.int64)),
                "area": torch.from_numpy(of.areas),
            }
            for of in true
        ],
    )
    expected = official.compute()
    outcome = outcome_of(found, true, CLASSES)
    for name, theirs in OFFICIAL.items():
        assert 0.05 < expected[theirs] < 0.95
        value = metric_named(name).function(outcome)
        assert value == pytest.approx(float(expected[theirs]), abs=1e-6)


def test_voc_judges_a_box_by_the_object_that_it_overlaps_most() -> None:
    """Objects of columns 0 to 10 and 4 to 14. The second box, of columns 1 to 11, overlaps the
    first by 9 of 11 and the second by 7 of 13 columns. COCO gives it the second, as the first is
    taken; to VOC it is wrong. Then 6 of 11 recalls (0 to 0.5) have precision 1.
    """
    true = image_boxes([[0, 0, 10, 10], [4, 0, 14, 10]], [0, 0])
    found = detections(([0, 0, 10, 10], 0.9, 0), ([1, 0, 11, 10], 0.8, 0))
    outcome = outcome_of([found], [true], 1)
    assert outcome.voc[0, :2].tolist() == [STATE_RIGHT, STATE_WRONG]
    assert outcome.states[0, :2, 0, 0].tolist() == [STATE_RIGHT, STATE_RIGHT]
    assert box_ap_voc07(outcome) == pytest.approx(6 / 11) and box_ap_50(outcome) == 1


def test_voc_takes_eleven_recalls() -> None:
    """Precision 1 at recalls 0 to 0.5, 2/3 at 0.6 to 1."""
    outcome = one_class(detections((RIGHT_1, 0.9, 0), (WRONG, 0.8, 0), (RIGHT_2, 0.7, 0)))
    assert box_ap_voc07(outcome) == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_difficult_objects_are_neutral_for_voc() -> None:
    true = image_boxes([RIGHT_1, RIGHT_2], [0, 0], difficult=[True, False])
    found = detections((RIGHT_1, 0.9, 0), (RIGHT_1, 0.8, 0), (RIGHT_2, 0.7, 0))
    assert box_ap_voc07(outcome_of([found], [true], 1)) == 1


def slow_voc07(found: list[Detections], true: list[ImageBoxes], c: int) -> float:
    """Return VOC 2007's AP of a class, detection by detection."""
    rows = [
        (float(score), i, box)
        for i, of in enumerate(found)
        for box, score, label in zip(of.xyxy, of.scores, of.labels, strict=True)
        if label == c
    ]
    taken: set[tuple[int, int]] = set()
    right, wrong, curve = 0, 0, []
    total = sum(int((~of.ignored[of.labels == c]).sum()) for of in true)
    for _, i, box in sorted(rows, key=lambda row: (-row[0], row[1])):
        best, at = 0.0, -1
        for k in np.flatnonzero(true[i].labels == c).tolist():
            width, height = (
                min(box[a + 2], true[i].xyxy[k][a + 2]) - max(box[a], true[i].xyxy[k][a])
                for a in (0, 1)
            )
            shared = max(width, 0) * max(height, 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, true[i].xyxy[k])]
            if shared / (sum(areas) - shared) > best:
                best, at = shared / (sum(areas) - shared), k
        if best >= 0.5 and true[i].ignored[at]:
            continue
        if best >= 0.5 and (i, at) not in taken:
            taken.add((i, at))
            right += 1
        else:
            wrong += 1
        curve.append((right / total, right / (right + wrong)))
    recalls = np.linspace(0, 1, 11)
    return sum(max([p for r, p in curve if r >= least], default=0) for least in recalls) / 11


@pytest.mark.parametrize("seed", range(3))
def test_voc07_is_that_of_a_slow_implementation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = [random_boxes(rng, int(rng.integers(1, 9)), 2) for _ in range(12)]
    found = [random_detections(rng, of, 25, 2) for of in true]
    expected = np.mean([slow_voc07(found, true, c) for c in range(2)])
    assert 0.05 < expected < 0.95
    assert box_ap_voc07(outcome_of(found, true, 2)) == pytest.approx(expected, abs=1e-12)


def random_outcome() -> BoxMatches:
    rng = np.random.default_rng(7)
    true = [random_boxes(rng, 5, CLASSES) for _ in range(12)]
    return outcome_of([random_detections(rng, of, 20, CLASSES) for of in true], true, CLASSES)


def test_weights_are_repetitions_of_images() -> None:
    outcome, rng = random_outcome(), np.random.default_rng(0)
    weights = rng.integers(0, 4, (20, len(outcome)))
    for area in ("all", "medium"):
        values = average_precision(outcome, area, slice(None), weights.astype(np.float64))
        for value, counts in zip(values, weights, strict=True):
            repeated = outcome.take(np.repeat(np.arange(len(outcome)), counts))
            one = np.ones((1, len(repeated)))
            (expected,) = average_precision(repeated, area, slice(None), one)
            assert value == pytest.approx(expected, abs=1e-12)


def test_intervals_are_those_of_resampled_images() -> None:
    outcome, metric = random_outcome(), metric_named("box_ap")
    value, low, high, kind = interval("box_ap", outcome, 0)
    assert low is not None and high is not None and low < value < high and kind == "bootstrap"
    assert metric.redrawn is not None
    drawn = metric.redrawn(outcome, np.random.default_rng(0), 2000)
    taken = resampled(outcome, replace(metric, redrawn=None), 1, 300)
    # standard errors are known to 1.6 % and 4 %
    assert drawn.std() == pytest.approx(taken.std(), rel=0.2)
    assert drawn.mean() == pytest.approx(taken.mean(), abs=4 * taken.std() / 300**0.5)


def test_two_outcomes_are_resampled_alike() -> None:
    """One finds all boxes of the even images, the other also those of the first: never fewer."""
    true = [image_boxes([RIGHT_1], [0])] * 9
    right, nothing = detections((RIGHT_1, 0.9, 0)), detections((WRONG, 0.9, 0))
    fewer = [nothing if i % 2 else right for i in range(9)]
    more = [right, right, *fewer[2:]]
    metric = metric_named("box_ap_50")
    one, other = (resampled(outcome_of(of, true, 1), metric, 0, 200) for of in (fewer, more))
    assert (one <= other).all() and (one == other).any() and (one < other).any()


def test_images_without_boxes_are_undefined() -> None:
    nothing = outcome_of([detections((WRONG, 0.9, 0))], [image_boxes([], [])], 1)
    with pytest.raises(UndefinedError, match=r"no test image has true boxes$"):
        box_ap(nothing)
    with pytest.raises(UndefinedError, match="no test image has true boxes of large objects"):
        box_ap_large(one_class(detections()))


def test_shapes_must_agree() -> None:
    arrays = dict(random_outcome().to_arrays())
    with pytest.raises(
        ValueError,
        match=r"states and true must have shapes \(N, M, A, T\) and .*'labels': \(12, 3\)",
    ):
        BoxMatches(**{**arrays, "labels": arrays["labels"][:, :3]})
