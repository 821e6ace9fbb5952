"""Detection by a trained head: images that are stored, maps in parts, and what is learnt."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError, UndefinedError
from bob.features.shard import Effort
from bob.features.store import Features
from bob.metrics.boxes import box_ap_50
from bob.numerics.dense import fcos
from bob.protocols import Inputs, Result
from bob.protocols.detect_fcos import PROTOCOL, DetectFcosSettings
from bob.protocols.kept_detections import SHOWN_BOXES
from bob.protocols.needs import FeatureNeed, TextNeed
from tests.builders.boxes import box_dataset, image_boxes
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, statistics_of
from tests.builders.small_task_run import scores_of_small_run
from tests.builders.splits import make_dataset
from tests.protocols.test_detect import CLASSES, constant, dataset, targets

SMALL = DetectFcosSettings(
    input_px=None,
    train_images=12,
    max_gib=1,
    cells=8,
    levels=2,
    channels=32,
    convolutions=1,
    epochs=20,
    batch=4,
    learning_rate=1e-2,
    weight_decay=0,
)


def solved(data: Dataset, maps: Maps, settings: DetectFcosSettings = SMALL) -> Result:
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, maps, shard=5)
    return PROTOCOL.solve(PROTOCOL.build(settings, data, needs, inputs, 0), settings, "cpu")


def test_maps_that_show_boxes_are_learnt_and_constant_ones_are_not() -> None:
    found, nothing = solved(dataset(), targets), solved(dataset(), constant)
    assert box_ap_50(found.outcome) > 0.9
    assert box_ap_50(nothing.outcome) < 0.6  # there is one object in each quarter
    assert found.detail == {"grid": [6, 8], "train_images": 12}
    assert found.shown["position"].tolist() == list(range(8))
    states = found.outcome.states[:, :SHOWN_BOXES, 0, 0]
    np.testing.assert_array_equal(found.shown["states"], states)


def test_shifted_sets_are_scored_by_the_same_head() -> None:
    data = dataset()
    shifted = make_dataset(
        data.splits,
        data.classes,
        kind=data.kind,
        shifts={"line": Shift(data.splits["test"], "shift")},
    )
    settings = SMALL.model_copy(update={"epochs": 1})
    test, line = solved(shifted, targets, settings).parts
    assert line.suffix == "line" and line.facets == {"shift": "line"}
    assert test.outcome is not None and line.outcome is not None
    expected = test.outcome.to_arrays()
    for name, values in line.outcome.to_arrays().items():
        np.testing.assert_array_equal(values, expected[name])


def test_unreadable_images_are_left_out() -> None:
    """The boxes are those of the images that have features."""
    data = dataset()

    def features(need: FeatureNeed | TextNeed) -> Features:
        at = np.array([1, 4])
        assert isinstance(need, FeatureNeed)
        return Features([targets(need.images.open(data), at)], at, {0: "broken"}, Effort())

    needs = PROTOCOL.needs(SMALL, data, BASELINE)
    problem = PROTOCOL.build(SMALL, data, needs, Inputs(features, None), 0)  # type: ignore[arg-type]
    train = data.splits["train"].boxes
    assert train is not None
    assert [of.xyxy.tolist() for of in problem.train.boxes] == [
        train.read(i).xyxy.tolist() for i in (1, 4)
    ]


def test_ignored_objects_are_not_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two objects in each image of 240 x 320 px, one is difficult; a side has 128 units."""
    true = image_boxes([[0, 0, 40, 60], [160, 120, 320, 240]], [1, 2], difficult=[True, False])
    data = box_dataset({"train": [true] * 2, "test": [true]}, CLASSES)

    def train(read: object, targets: list[dict[str, torch.Tensor]], *rest: object) -> None:
        for target in targets:
            assert target["boxes"].tolist() == [[64, 64, 128, 128]]
            assert target["labels"].tolist() == [2]
        raise UndefinedError(f"{len(targets)} targets")

    monkeypatch.setattr(fcos, "train_fcos", train)
    with pytest.raises(UndefinedError, match="2 targets"):
        solved(data, targets)


def test_classes_without_a_train_box_are_told() -> None:
    """A difficult object is not learnt."""
    true = image_boxes([[0, 0, 40, 60], [160, 120, 320, 240]], [1, 2], difficult=[True, False])
    data = box_dataset({"train": [true] * 2, "test": [true]}, CLASSES)
    settings = SMALL.model_copy(update={"epochs": 1})
    assert solved(data, targets, settings).caveats == (
        "2 of 3 classes have no train box that counts: 'class_0', 'class_1'",
    )
    assert solved(dataset(), targets, settings).caveats == ()


def test_a_head_without_objects_is_undefined() -> None:
    crowd = image_boxes([[0, 0, 40, 60]], [1], crowds=[True])
    true = image_boxes([[0, 0, 40, 60]], [1])
    data = box_dataset({"train": [crowd] * 2, "test": [true]}, CLASSES)
    with pytest.raises(UndefinedError, match="no train image has an object that counts"):
        solved(data, targets)


def test_no_readable_image_is_undefined() -> None:
    data = dataset()
    needs = PROTOCOL.needs(SMALL, data, BASELINE)
    none = Features([], np.zeros(0, np.int64), {}, Effort())
    inputs = Inputs(lambda need: none, None)  # type: ignore[arg-type]
    with pytest.raises(UndefinedError, match="no image of train can be read"):
        PROTOCOL.solve(PROTOCOL.build(SMALL, data, needs, inputs, 0), SMALL, "cpu")


def test_of_a_large_train_split_some_images_are_stored() -> None:
    data, settings = dataset(), SMALL.model_copy(update={"train_images": 5})
    train, test = PROTOCOL.needs(settings, data, BASELINE)
    assert isinstance(train, FeatureNeed) and isinstance(test, FeatureNeed)
    chosen = train.images.open(data).content
    assert len(set(chosen)) == 5 and set(chosen) < set(data.splits["train"].content)
    assert test.images == ImageSet("test")
    assert PROTOCOL.needs(SMALL, data, BASELINE)[0].images == ImageSet("train")  # type: ignore[union-attr]


def test_images_without_boxes_are_not_applicable() -> None:
    bare = {n: Split(s.ids, s.y, s.content, s.read) for n, s in dataset().splits.items()}
    with pytest.raises(NotApplicableError, match="needs the boxes of each image; train of data"):
        PROTOCOL.needs(SMALL, Dataset("d", (), bare), BASELINE)


def test_a_run_trains_a_head_on_stored_maps(tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"input_px": 64, "epochs": 1}).model_dump(mode="json")
    scores = scores_of_small_run(tmp_path, "detect_fcos", settings, ["box_ap"], 6)
    assert {*scores} == {"box_ap", "box_ap_line"}


def test_classes_are_those_of_the_dataset() -> None:
    result = solved(dataset(), constant, SMALL.model_copy(update={"epochs": 1}))
    assert set(np.unique(result.outcome.labels)) <= {-1, *range(CLASSES)}
