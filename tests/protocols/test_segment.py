"""Segmentation: bounds that perfect and useless features reach, refits, and runs of the command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from bob.backbones.card import load_backbone
from bob.cli import main
from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import HoldOut, ImageSet
from bob.datasets.masks import IGNORED, Masks
from bob.errors import NotApplicableError, UndefinedError
from bob.metrics.segmentation import mean_iou, pixel_accuracy
from bob.numerics.dense.cells import cell_shares
from bob.numerics.linear.class_sums import ClassSums, head_path
from bob.plan import Plan
from bob.plan.plan import read_plan
from bob.protocols import Result, StatisticsNeed, needs_of_task
from bob.protocols.dense import MapSettings, best_strength, squashed
from bob.protocols.segment import PROTOCOL, SegmentSettings
from bob.protocols.segmentation_statistics import mean_ious
from bob.registry import load_registry
from bob.specs import BackboneSpec
from tests.builders.protocols import BASELINE, TWO_TOWERS
from tests.builders.segmentation import (
    Maps,
    blocky_masks,
    mask_dataset,
    statistics_of,
    stored_bytes,
)

CLASSES, CELLS = 3, 4
LDA = SegmentSettings(head="lda", input_px=None, log10_strength=(-3.0, 0.0, 4), held_out=0.25)
ONE = LDA.model_copy(update={"log10_strength": (-2.0, -2.0, 1), "held_out": None})


def dataset(cells: int = CELLS, cell_px: int = 5) -> Dataset:
    """Return 12 train and 8 test images; with `cells` = 4, the grid's cells are of one class."""
    return mask_dataset(
        {
            name: blocky_masks(n, CLASSES, cells, cell_px, seed)
            for seed, (name, n) in enumerate({"train": 12, "test": 8}.items())
        },
        CLASSES,
    )


def shares_of(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return maps that hold the shares of the classes, (n, 4, 4, 3)."""
    assert split.masks is not None
    grids = [cell_shares(split.masks.read(i), (CELLS, CELLS), CLASSES) for i in at.tolist()]
    return np.stack(grids).astype(np.float32)


def constant(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.ones((len(at), CELLS, CELLS, 2), np.float32)


def noisy(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return shares under noise that depends on the image alone."""
    noise = [
        np.random.default_rng(int(split.content[i][:8], 16)).normal(size=(CELLS, CELLS, CLASSES))
        for i in at.tolist()
    ]
    return (shares_of(split, at) + 0.5 * np.stack(noise)).astype(np.float32)


def solved(data: Dataset, maps: Maps, settings: SegmentSettings = LDA, shard: int = 1000) -> Result:
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, maps, shard)
    problem = PROTOCOL.build(settings, data, needs, inputs, 0)
    return PROTOCOL.solve(problem, settings, "cpu")


@pytest.mark.parametrize("head", ["lda", "ridge"])
def test_perfect_features_reach_the_ceiling(head: str) -> None:
    """The grid is twice as coarse as the masks: the ceiling is below 1."""
    data = dataset(cells=8)
    settings = LDA.model_copy(update={"head": head})
    result = solved(data, shares_of, settings)
    ceiling = mean_iou(result.parts[1].outcome)  # type: ignore[arg-type]
    assert result.parts[1].suffix == "ceiling" and ceiling < 0.95
    assert mean_iou(result.outcome) == pytest.approx(ceiling, abs=0.03)


def test_constant_features_reach_the_floor() -> None:
    result = solved(dataset(), constant)
    majority: Any = result.parts[0].majority
    assert mean_iou(result.outcome) == mean_iou(majority)
    assert pixel_accuracy(result.outcome) == pixel_accuracy(majority)


def test_the_floor_is_the_most_frequent_class_of_train() -> None:
    """Class 1 has two thirds of the train pixels and a quarter of the test pixels."""
    train, test = np.array([[1, 1, 0]], np.int16), np.array([[0, 2, 2, 1]], np.int16)
    data = mask_dataset({"train": [train], "test": [test]}, CLASSES)
    majority: Any = solved(data, constant, ONE).parts[0].majority
    # class 0: 0 of 1 pixel, class 1: 1 of 4, class 2: 0 of 2
    assert mean_iou(majority) == pytest.approx((0 + 1 / 4 + 0) / 3)


def test_results_do_not_depend_on_shards() -> None:
    data = dataset()
    whole, parts = solved(data, noisy), solved(data, noisy, shard=3)
    for name, values in whole.outcome.to_arrays().items():
        np.testing.assert_array_equal(values, parts.outcome.to_arrays()[name])
    assert whole.detail == parts.detail


def test_the_chosen_head_is_refit_on_all_train_images() -> None:
    data = dataset()
    result = solved(data, noisy)
    train, test = data.splits["train"], data.splits["test"]
    x = noisy(train, np.arange(12)).reshape(-1, CLASSES)
    sums = ClassSums.of(x, shares_of(train, np.arange(12)).reshape(-1, CLASSES).astype(float))
    (head,) = head_path("lda", sums, [result.detail["strength"]])
    right = [
        (head.logits(grid).argmax(2) == shares.argmax(2)).sum()
        for grid, shares in zip(
            noisy(test, np.arange(8)), shares_of(test, np.arange(8)), strict=True
        )
    ]
    # cells of 4 x 4: their centres' predictions are those of the cells, the ceiling is lower
    assert result.detail["held_out_images"] == 3 and result.detail["grid"] == [4, 4]
    assert abs(sum(right) / (8 * 16) - pixel_accuracy(result.outcome)) < 0.2


def test_the_strongest_of_equally_good_strengths_is_chosen() -> None:
    counts = np.zeros((1, 3, 3, 2), np.int64)
    counts[0, :, 0], counts[0, :, 1], counts[0, :, 2] = [[1, 1], [2, 2], [2, 2]], 2, 2
    assert best_strength(mean_ious(counts)) == 2


def test_one_strength_needs_no_held_out_images() -> None:
    data = dataset()
    names = [need.images.name for need in PROTOCOL.needs(ONE, data, BASELINE)]
    assert names == ["train", "test"]
    assert solved(data, shares_of, ONE).detail["strength"] == 0.01


def test_a_val_split_chooses_the_strength() -> None:
    masks = {name: blocky_masks(4, CLASSES, CELLS, 3, 0) for name in ("train", "val", "test")}
    needs = PROTOCOL.needs(LDA, mask_dataset(masks, CLASSES), BASELINE)
    assert [need.images.name for need in needs] == ["train", "val", "val", "test"]


def test_fitted_and_held_out_images_are_all_train_images() -> None:
    data = dataset()
    parts = [
        ImageSet("train", part=HoldOut(0.25, 0, held)).open(data).content for held in (False, True)
    ]
    assert [len(part) for part in parts] == [9, 3]
    assert {*parts[0], *parts[1]} == {*data.splits["train"].content}


def test_a_single_train_image_cannot_be_held_out() -> None:
    masks = {name: blocky_masks(1, CLASSES, CELLS, 3, 0) for name in ("train", "test")}
    with pytest.raises(NotApplicableError, match="needs train images to hold out; dataset 'd'"):
        PROTOCOL.needs(LDA, mask_dataset(masks, CLASSES), BASELINE)


def test_held_out_images_without_labels_choose_nothing() -> None:
    """All strengths are then equal, and the strongest is taken; see `best_strength`."""
    data = dataset()
    held_out = PROTOCOL.needs(LDA, data, BASELINE)[1]
    assert isinstance(held_out, StatisticsNeed)
    unlabelled = {*held_out.images.open(data).content}
    train = data.splits["train"]
    assert train.masks is not None
    masks = [
        np.full_like(train.masks.read(i), IGNORED) if of in unlabelled else train.masks.read(i)
        for i, of in enumerate(train.content)
    ]
    changed = replace(train, masks=Masks(train.masks.content, masks.__getitem__))
    result = solved(replace(data, splits={**data.splits, "train": changed}), shares_of)
    assert result.detail["held_out_curve"] == [0.0] * 4 and result.detail["strength"] == 1.0


def test_classes_without_train_pixels_are_named() -> None:
    data = dataset()
    more = replace(data, classes=(*data.classes, "sky", "sea"))
    (caveat,) = solved(more, constant).caveats
    assert caveat == "2 of 5 classes have no train pixel: 'sky', 'sea'"
    assert not solved(data, constant).caveats


def test_one_class_alone_is_nothing_to_tell_apart() -> None:
    """Masks of 0 and 255 are read so: 255 is ignored."""
    masks = {name: [np.zeros((8, 8), np.int16)] * 4 for name in ("train", "test")}
    with pytest.raises(UndefinedError, match=r"of the class with index 0, .* masks of 0 and 255"):
        solved(mask_dataset(masks, 2), constant)


def test_images_without_masks_are_not_applicable() -> None:
    data = dataset()
    bare = Dataset("d", data.classes, {n: _without_masks(s) for n, s in data.splits.items()})
    with pytest.raises(NotApplicableError, match="needs a mask for each image; train of dataset"):
        PROTOCOL.needs(LDA, bare, BASELINE)


def test_maps_are_those_of_the_layers_of_the_whole_squashed_image() -> None:
    settings = LDA.model_copy(update={"layers": (-2, -1), "input_px": 64})
    variant = PROTOCOL.needs(settings, dataset(), BASELINE)[0].backbone
    assert str(variant.output) == "grid@-2,-1"
    shown = variant.preprocessing
    assert (shown.input_px, shown.crop_mode, shown.crop_pct) == (64, "squash", 1.0)


@pytest.mark.parametrize(
    ("architecture", "input_px"), [("vit_tiny_patch16_224", 64), ("resnet10t", 128)]
)
def test_entries_with_sizes_of_their_own_have_equal_grids(architecture: str, input_px: int) -> None:
    """Patches of 16 and of 32 px, where the task leaves the size to the backbone: 4 x 4."""
    values = {
        "name": architecture,
        "family": "ssl",
        "loader": "timm",
        "architecture": architecture,
        "weights": {"random": 0},
        "preprocessing": {"input_px": input_px},
    }
    spec = squashed(BackboneSpec.model_validate(values), MapSettings(input_px=None))
    backbone = load_backbone(spec, "cpu", "float32", offline=True)
    image = Image.new("RGB", (50, 40))
    maps = backbone.embed(backbone.geometry.crop(image)[None], [spec.output])[spec.output]
    assert maps.shape[:3] == (1, 4, 4)


def test_backbones_of_loaders_without_maps_are_not_applicable() -> None:
    with pytest.raises(NotApplicableError, match="needs maps of patches; backbone 'mine': loader"):
        PROTOCOL.needs(LDA, dataset(), TWO_TOWERS)


def _without_masks(split: Split) -> Split:
    return Split(split.ids, split.y, split.content, split.read)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log10_strength": [-5.0, 0.0, 3]}, "log10_strength of lda must ascend from -4 or more"),
        ({"log10_strength": [-1.0, 0.5, 3]}, "to 0 or less"),
        ({"held_out": None}, "'held_out' goes with several strengths"),
        ({"log10_strength": [-1.0, -1.0, 1]}, "'held_out' goes with several strengths"),
        (
            {"head": "ridge", "prior": "uniform"},
            "prior is that of the head 'lda', .* got 'uniform'",
        ),
        ({"layers": []}, "must name at least one layer, or be 'last'"),
        ({"layers": [-1, -1]}, r"must differ; got \[-1, -1\]"),
        ({"layers": -1}, "must be 'last' or a list of whole numbers; got -1"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    values = {"head": "lda", "input_px": None, "log10_strength": [-3.0, 0.0, 4], "held_out": 0.2}
    with pytest.raises(ValidationError, match=message):
        SegmentSettings.model_validate({**values, **changes})


# --- runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of both tasks on 8 images per split of the samples."""
    root = tmp_path_factory.mktemp("run")
    words = "--tasks segment,segment_ridge --datasets openmoji_scenes --limit 8 --offline"
    backbones = ["--backbones", "raw_pixels,channel_statistics"]
    places = ["--results", str(root / "results"), "--cache-dir", str(root / "cache")]
    assert main(["run", *backbones, *words.split(), *places, "--runtime", "eager"]) == 0
    return root


def records_of(run: Path, task: str, backbone: str) -> dict[str, Any]:
    (path,) = (run / "results" / "records" / task).glob(f"*/{backbone}.*.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def test_a_run_scores_test_images_and_the_shift_with_ceiling_and_floor(run: Path) -> None:
    record = records_of(run, "segment", "raw_pixels")
    scores = {score["metric"]: score for score in record["scores"]}
    names = ("mean_iou", "image_mean_iou", "pixel_accuracy", "boundary_f")
    assert set(scores) == {f"{n}{end}" for n in names for end in ("", "_ceiling", "_line")}
    assert scores["mean_iou"]["majority"] is not None and scores["mean_iou"]["n"] == 8
    assert scores["mean_iou"]["value"] <= scores["mean_iou_ceiling"]["value"]
    assert scores["boundary_f"]["value"] < scores["boundary_f_ceiling"]["value"] < 1
    assert scores["boundary_f"]["majority"] == 0
    assert record["details"][0]["grid"] == [16, 16]


def test_backbones_without_maps_are_not_applicable(run: Path) -> None:
    record = records_of(run, "segment_ridge", "channel_statistics")
    assert record["status"] == "not_applicable"
    assert record["reason"].startswith("task 'segment_ridge': backbone")
    assert "a baseline has no output 'grid'; available: default." in record["reason"]


def test_a_run_stores_sums_and_no_maps(run: Path) -> None:
    """Shards of raw pixels' maps of 8 images would hold 16 x 16 x 3 x 8 values.

    What is kept for pages are predictions of 72 x 72 bytes and colours of 16 x 16 x 3, with the
    position and the score, of 8 bytes each, and a flag.
    """
    kept, sums = zip(*stored_bytes(run / "cache"), strict=True)
    assert len(sums) == 2 + 2 * 3 and max(sums) < 9000
    assert max(kept) == 8 * (72 * 72 + 16 * 16 * 3 + 8 + 8 + 1)


def test_a_plan_of_waves_round_trips_and_its_units_wait_for_each_other(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from bob.engine.units import units

    words = "--backbones raw_pixels --tasks segment --datasets openmoji_scenes --limit 8"
    where = ["--results", str(run / "other"), "--cache-dir", str(run / "cache"), "--offline"]
    capfd.readouterr()
    assert main(["run", *words.split(), *where, "--dry-run", "--json"]) == 0
    text = capfd.readouterr().out
    plan = read_plan(text, "plan")
    assert plan == Plan.model_validate_json(plan.to_json())
    embedding = [unit for unit in units(plan, {}, 1) if unit.kind == "embed"]
    fitted, held_out, test, line = embedding
    assert not fitted.requires
    assert held_out.requires == fitted.provides
    assert test.requires == line.requires == fitted.provides | held_out.provides


def test_shipped_tasks_share_the_sums_of_their_heads(run: Path) -> None:
    """Two heads: one set of sums of the images to fit and one of the held-out images."""
    tasks = load_registry().tasks
    data = dataset()
    sums = {
        need
        for name in ("segment", "segment_ridge")
        for need in needs_of_task(tasks[name], data, _backbone())
        if isinstance(need, StatisticsNeed) and need.accumulator.name == "patch_sums"
    }
    assert len(sums) == 2


def _backbone() -> BackboneSpec:
    return load_registry().backbones["efficientnet_lite0_in1k"]
