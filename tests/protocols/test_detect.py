"""Detection: bounds that perfect and useless features reach, ignored objects, and a run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bob.cli import main
from bob.datasets.boxes import ImageBoxes
from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError, UndefinedError
from bob.metrics.boxes import box_ap, box_ap_50
from bob.numerics.dense.box_matching import RIGHT
from bob.outcomes import BoxMatches
from bob.protocols import Result
from bob.protocols.box_statistics import BoxMatchSums, BoxSums, cell_targets
from bob.protocols.dense import PathSettings, StrengthPath
from bob.protocols.detect import PROTOCOL
from tests.builders.boxes import box_dataset, image_boxes
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, statistics_of

CLASSES, GRID = 3, (6, 8)
PATH = PathSettings(input_px=None, log10_strength=(-8.0, 0.0, 3), held_out=0.25)
ONE = PATH.model_copy(update={"log10_strength": (-8.0, -8.0, 1), "held_out": None})


def tiled(rng: np.random.Generator) -> ImageBoxes:
    """Return four boxes of 60 to 110 px, one in each quarter of an image of 240 x 320 px."""
    corners = np.array([[0, 0], [160, 0], [0, 120], [160, 120]]) + rng.integers(0, 10, (4, 2))
    sides = rng.integers(60, 110, (4, 2))
    xyxy = np.concatenate([corners, corners + sides], axis=1).tolist()
    return image_boxes(xyxy, rng.integers(0, CLASSES, 4).tolist())


def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    return box_dataset(
        {name: [tiled(rng) for _ in range(n)] for name, n in (("train", 12), ("test", 8))}, CLASSES
    )


def targets(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return maps that hold the scores of the cells, and the logarithms of distances."""
    assert split.boxes is not None
    of = [cell_targets(split.boxes.read(i), GRID, CLASSES) for i in at.tolist()]
    return np.stack(
        [np.concatenate([each.classes, each.log_distances], axis=2) for each in of]
    ).astype(np.float32)


def constant(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.ones((len(at), *GRID, 2), np.float32)


def noise(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    seeds = [int(split.content[i][:8], 16) for i in at.tolist()]
    return np.stack([np.random.default_rng(seed).normal(size=(*GRID, 5)) for seed in seeds]).astype(
        np.float32
    )


def solved(data: Dataset, maps: Maps, settings: PathSettings = PATH, shard: int = 1000) -> Result:
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, maps, shard)
    return PROTOCOL.solve(PROTOCOL.build(settings, data, needs, inputs, 0), settings, "cpu")


def part(result: Result, suffix: str) -> BoxMatches:
    (found,) = [part.outcome for part in result.parts if part.suffix == suffix]
    assert isinstance(found, BoxMatches)
    return found


def test_perfect_features_find_every_box() -> None:
    result = solved(dataset(), targets)
    assert box_ap(result.outcome) == pytest.approx(1)
    assert box_ap(part(result, "ceiling")) == pytest.approx(1)
    assert result.detail["strength"] == pytest.approx(1e-4)  # the strongest of equals
    assert result.detail["grid"] == [*GRID]


def test_classes_without_a_train_box_are_told() -> None:
    """Each has an average precision of 0, by which the mean of all falls."""
    data = dataset()
    train = data.splits["train"].boxes
    assert train is not None and solved(data, targets).caveats == ()
    without = [replace(of, ignored=of.labels == 1) for of in map(train.read, range(len(train)))]
    test = data.splits["test"].boxes
    assert test is not None
    of_test = [test.read(i) for i in range(len(test))]
    result = solved(box_dataset({"train": without, "test": of_test}, CLASSES), targets)
    assert result.caveats == (
        "1 of 3 classes have no train box that counts and holds the centre of a cell: 'class_1'",
    )
    assert box_ap(result.outcome) == pytest.approx(2 / 3)


def test_detections_of_test_images_are_kept_for_pages() -> None:
    """Eight images of four objects, all found: the four best detections are right."""
    data = dataset()
    shown = solved(data, targets).shown
    assert shown["position"].tolist() == list(range(8)) and shown["sampled"].all()
    assert (shown["score"] == 1).all() and (shown["states"][:, :4] == RIGHT).all()
    boxes = data.splits["test"].boxes
    assert boxes is not None
    for i, (found, labels) in enumerate(zip(shown["boxes"], shown["labels"], strict=True)):
        true = boxes.read(i)
        order = np.lexsort(found[:4].T), np.lexsort(true.xyxy.T)
        np.testing.assert_allclose(found[:4][order[0]], true.xyxy[order[1]], atol=1)
        assert labels[:4][order[0]].tolist() == true.labels[order[1]].tolist()


def test_constant_features_reach_the_constant_floor() -> None:
    result = solved(dataset(), constant)
    floor = part(result, "constant")
    assert box_ap_50(result.outcome) == pytest.approx(box_ap_50(floor))
    assert box_ap(floor) < 0.2


def test_noise_is_no_better_than_chance() -> None:
    assert box_ap(solved(dataset(), noise).outcome) < 0.1


def test_the_heads_are_scikit_learns_on_the_cells() -> None:
    """Scores of all cells; boxes of cells that have one, weighted by their centreness."""
    data = dataset()
    train = data.splits["train"]
    assert train.boxes is not None
    at = np.arange(len(train))
    maps = np.concatenate([targets(train, at), noise(train, at)], axis=3)
    maps[..., :7] += maps[..., 7:8]
    sums = BoxSums(train.boxes, CLASSES)
    statistics = sums.start(maps.shape[1:])
    sums.update(statistics, at, maps)
    path = StrengthPath(-2.0, -2.0, 1)
    (heads,) = BoxMatchSums(train.boxes, CLASSES, path, False, lambda: [statistics]).heads
    of = [cell_targets(train.boxes.read(i), GRID, CLASSES) for i in at.tolist()]
    x = maps.reshape(-1, maps.shape[3]).astype(np.float64)
    classes = np.stack([each.classes for each in of]).reshape(-1, CLASSES)
    boxes = np.stack([each.log_distances for each in of]).reshape(-1, 4)
    weight = np.stack([each.centreness for each in of]).reshape(-1)
    for head, w, y in ((heads.classes, np.ones(len(x)), classes), (heads.distances, weight, boxes)):
        scaler = StandardScaler().fit(x, sample_weight=w)
        ridge = Ridge(alpha=0.01 * w.sum()).fit(scaler.transform(x), y, sample_weight=w)
        np.testing.assert_allclose(head.logits(x), ridge.predict(scaler.transform(x)), atol=1e-6)


def test_cells_of_ignored_objects_are_not_learnt() -> None:
    """Cells of 120 x 160 px: a difficult object in the first, one that counts in the last."""
    boxes = image_boxes([[0, 0, 150, 110], [170, 130, 300, 230]], [1, 2], difficult=[True, False])
    of = cell_targets(boxes, (2, 2), CLASSES)
    assert of.weight.tolist() == [[0, 1], [1, 1]]
    # centre at column 240 and row 180: 70 and 60 of 160 columns, 50 and 50 of 120 rows
    assert of.centreness.ravel().tolist() == [0, 0, 0, pytest.approx(6 / 7)]
    assert of.classes[1, 1, 2] == of.centreness[1, 1] == of.classes.sum()
    np.testing.assert_allclose(
        np.exp(of.log_distances[1, 1]), [70 / 160, 50 / 120, 60 / 160, 50 / 120]
    )


def test_classes_without_train_boxes_are_never_predicted() -> None:
    rng = np.random.default_rng(1)
    boxes = {name: [tiled(rng) for _ in range(6)] for name in ("train", "test")}
    data = box_dataset(boxes, CLASSES + 1)
    result = solved(data, noise, ONE)
    assert set(np.unique(result.outcome.labels)) <= {-1, *range(CLASSES)}


def test_train_images_whose_objects_hold_no_centre_of_a_cell_are_named() -> None:
    """Cells are 40 px wide and high, the first centre is at (20, 20)."""
    small = image_boxes([[0, 0, 19, 19], [41, 41, 59, 59]], [0, 1])
    data = box_dataset({"train": [small] * 4, "test": [small]}, CLASSES)
    with pytest.raises(UndefinedError, match="objects smaller than a cell may hold none"):
        solved(data, noise, ONE)


def test_train_images_without_objects_that_count_are_named() -> None:
    crowd = image_boxes([[0, 0, 100, 100]], [0], crowds=[True])
    data = box_dataset({"train": [crowd] * 4, "test": [tiled(np.random.default_rng(1))]}, CLASSES)
    with pytest.raises(UndefinedError, match="no train image has an object that counts"):
        solved(data, noise, ONE)


def test_results_do_not_depend_on_shards() -> None:
    one, parts = solved(dataset(), noise), solved(dataset(), noise, shard=3)
    assert one.detail["strength"] == parts.detail["strength"]
    assert box_ap(one.outcome) == pytest.approx(box_ap(parts.outcome), abs=1e-9)


def test_images_without_boxes_are_not_applicable() -> None:
    bare = {n: Split(s.ids, s.y, s.content, s.read) for n, s in dataset().splits.items()}
    with pytest.raises(NotApplicableError, match="needs the boxes of each image; train of data"):
        PROTOCOL.needs(PATH, Dataset("d", (), bare), BASELINE)


def test_a_run_detects_and_segments_in_one_pass(tmp_path: Path) -> None:
    words = "--tasks detect,segment --datasets openmoji_scenes --limit 8 --offline --runtime eager"
    places = ["--results", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    assert main(["run", "--backbones", "raw_pixels", *words.split(), *places]) == 0
    records = {
        path.parts[-3]: json.loads(path.read_text())
        for path in (tmp_path / "results" / "records").glob("*/*/*.json")
    }
    assert {name: record["status"] for name, record in records.items()} == {
        "detect": "ok",
        "segment": "ok",
    }
    scores = {score["metric"]: score for score in records["detect"]["scores"]}
    assert scores["box_ap"]["value"] < 0.5 < scores["box_ap_ceiling"]["value"]
    assert "box_ap_line" in scores and "box_ap_constant" in scores
