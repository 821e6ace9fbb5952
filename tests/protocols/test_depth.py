"""Depth: bounds that perfect and useless features reach, crops, refits, and a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bob.cli import main
from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError, UndefinedError
from bob.metrics.depth import delta1, depth_rmse, silog
from bob.protocols import Result, StatisticsNeed, needs_of_task
from bob.protocols.depth import PROTOCOL, DepthSettings
from bob.registry import load_registry
from tests.builders.depth import blocky_depths, depth_dataset, depth_part
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, statistics_of, stored_bytes

CELLS, PX = 4, 5
LOG = DepthSettings(head="log", input_px=None, bins=8, log10_strength=(-6.0, 0.0, 3), held_out=0.25)
BINS = LOG.model_copy(update={"head": "bins"})
ONE = LOG.model_copy(update={"log10_strength": (-6.0, -6.0, 1), "held_out": None})


def dataset(**facts: Any) -> Dataset:
    """Return 12 train and 8 test images, whose cells are at one depth each."""
    maps = {"train": blocky_depths(12, CELLS, PX, 0), "test": blocky_depths(8, CELLS, PX, 1)}
    return depth_dataset(maps, **facts)


def log_depth(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return maps of two features: the log depth of each cell, and noise."""
    assert split.depths is not None
    cells = [split.depths.read(i)[PX // 2 :: PX, PX // 2 :: PX] for i in at.tolist()]
    noise = [np.random.default_rng(i).normal(size=(CELLS, CELLS)) for i in at.tolist()]
    return np.stack([np.log(cells), noise], axis=-1).astype(np.float32)


def constant(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.ones((len(at), CELLS, CELLS, 2), np.float32)


def solved(data: Dataset, maps: Maps, settings: DepthSettings = LOG, shard: int = 1000) -> Result:
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, maps, shard)
    problem = PROTOCOL.build(settings, data, needs, inputs, 0)
    return PROTOCOL.solve(problem, settings, "cpu")


def test_train_maps_without_a_depth_in_range_are_named() -> None:
    """Maps of 8 bits, or other steps for a metre than are stated, are out of range."""
    data = dataset(range_m=(500.0, 600.0))
    with pytest.raises(UndefinedError, match="no train pixel has a depth between 500 and 600 m"):
        solved(data, constant, ONE)


def test_perfect_features_reach_the_ceiling() -> None:
    """Upsampling blurs the edges between cells: the ceiling is not 1."""
    result = solved(dataset(), log_depth, ONE)
    ceiling = depth_part(result, "ceiling")
    assert 0.5 < delta1(ceiling) < 0.95
    np.testing.assert_allclose(result.outcome.rmse, ceiling.rmse, rtol=1e-3)
    np.testing.assert_allclose(result.outcome.delta1, ceiling.delta1, atol=0.02)


@pytest.mark.parametrize("settings", [LOG, BINS], ids=["log", "bins"])
def test_constant_features_reach_the_floor(settings: DepthSettings) -> None:
    """The log head is then the constant; the bins weigh depths as train has them."""
    result = solved(dataset(), constant, settings)
    floor = depth_part(result, "constant")
    if settings is LOG:
        np.testing.assert_allclose(result.outcome.rmse, floor.rmse, rtol=1e-9)
    assert silog(result.outcome) == pytest.approx(silog(floor), rel=1e-9)
    # aligned, every constant becomes the mean of the image
    aligned = depth_part(result, "aligned")
    test = dataset().splits["test"]
    assert test.depths is not None
    stds = [test.depths.read(i).std() for i in range(8)]
    np.testing.assert_allclose(aligned.rmse, stds, rtol=1e-5)


def test_the_floors_know_train_and_not_the_image() -> None:
    """Two train images of 1 m and 4 m on the left, of 4 m and 4 m on the right; 2 m in test."""
    left_right = [np.array([[1, 4]], np.float32), np.array([[4, 4]], np.float32)]
    data = depth_dataset({"train": left_right, "test": [np.array([[2, 2]], np.float32)]})
    flat = lambda split, at: np.ones((len(at), 1, 2, 1), np.float32)  # noqa: E731
    result = solved(data, flat, ONE)
    # geometric means: of all four (1 x 4^3)^(1/4) = 2.83; left 2, right 4
    assert depth_rmse(depth_part(result, "constant")) == pytest.approx(2 * 2**0.5 - 2)
    assert depth_rmse(depth_part(result, "place")) == pytest.approx((4 / 2) ** 0.5)


def test_the_chosen_head_is_scikit_learns_on_every_train_pixel() -> None:
    """With one cell of one pixel, a prediction is a row of features times weights."""
    rng = np.random.default_rng(0)
    maps = {
        name: list(rng.uniform(1, 8, (n, 1, 1)).astype(np.float32))
        for name, n in (("train", 30), ("test", 10))
    }
    rows = {name: rng.normal(size=(len(m), 1, 1, 3)).astype(np.float32) for name, m in maps.items()}
    for name, m in maps.items():
        rows[name][:, 0, 0, 0] += np.log(np.reshape(m, -1))
    data = depth_dataset(maps)
    by_content = {
        digest: rows[name][i]
        for name, split in data.splits.items()
        for i, digest in enumerate(split.content)
    }
    of = lambda split, at: np.stack([by_content[split.content[i]] for i in at])  # noqa: E731
    result = solved(data, of)
    x, y = rows["train"].reshape(30, 3), np.log(np.reshape(maps["train"], -1))
    scaler = StandardScaler().fit(x)
    ridge = Ridge(alpha=30 * result.detail["strength"]).fit(scaler.transform(x), y)
    predicted = np.exp(ridge.predict(scaler.transform(rows["test"].reshape(10, 3))))
    expected = np.abs(np.clip(predicted, 0.5, 10) - np.reshape(maps["test"], -1))
    np.testing.assert_allclose(result.outcome.rmse, expected, rtol=1e-5)


def test_pixels_of_unknown_depth_are_neither_learnt_nor_scored() -> None:
    """The upper half of every train image and the lower half of every test image is unknown."""
    data = dataset()
    half = CELLS * PX // 2
    maps = {
        name: [split.depths.read(i).copy() for i in range(len(split))]  # type: ignore[union-attr]
        for name, split in data.splits.items()
    }
    for m in maps["train"]:
        m[:half] = np.nan
    spoiled = {"train": [], "test": maps["test"]}
    for m in maps["train"]:
        spoiled["train"].append(np.where(np.isnan(m), np.float32(900.0), m))  # out of range
    unknown, out_of_range = (depth_dataset(of) for of in (maps, spoiled))
    features = lambda split, at: log_depth(data.splits[_name(split, data)], at)  # noqa: E731
    one, other = (solved(of, features, ONE) for of in (unknown, out_of_range))
    np.testing.assert_array_equal(one.outcome.rmse, other.outcome.rmse)


def _name(split: Split, data: Dataset) -> Any:
    return next(n for n, s in data.splits.items() if s.content[0] == split.content[0])


def test_garg_crops_what_is_scored_and_not_what_is_learnt() -> None:
    """20 px: rows 8 to 18 and columns 0 to 18 count. Errors elsewhere do not."""
    data, cropped = dataset(), dataset(crop="garg")
    whole, part_of = (solved(of, log_depth, ONE) for of in (data, cropped))
    assert whole.detail == part_of.detail
    assert not np.allclose(whole.outcome.rmse, part_of.outcome.rmse)
    test = cropped.splits["test"].depths
    assert test is not None
    counted = test.scored(test.read(0))
    assert counted[8:19, :19].all() and counted.sum() == 11 * 19


def test_results_do_not_depend_on_shards() -> None:
    one, parts = solved(dataset(), log_depth), solved(dataset(), log_depth, shard=3)
    for name, values in one.outcome.to_arrays().items():
        np.testing.assert_allclose(values, parts.outcome.to_arrays()[name], rtol=1e-10)
    assert one.detail["strength"] == parts.detail["strength"]


def test_many_bins_predict_nearly_what_regression_on_depth_does() -> None:
    """Perfect features at 1 m or 7 m: two bins of two shares, which are linear in them."""
    maps = {
        name: list(np.kron(np.random.default_rng(s).choice([1, 7], (n, 4, 4)), np.ones((5, 5))))
        for s, (name, n) in enumerate((("train", 12), ("test", 8)))
    }
    data = depth_dataset({k: [m.astype(np.float32) for m in v] for k, v in maps.items()})
    result = solved(data, log_depth, BINS.model_copy(update={"bins": 20}))
    np.testing.assert_allclose(result.outcome.rmse, depth_part(result, "ceiling").rmse, rtol=0.05)


def test_images_without_depth_are_not_applicable() -> None:
    bare = {n: Split(s.ids, s.y, s.content, s.read) for n, s in dataset().splits.items()}
    with pytest.raises(NotApplicableError, match="needs a depth map for each image; train of data"):
        PROTOCOL.needs(LOG, Dataset("d", (), bare), BASELINE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log10_strength": [0.0, -1.0, 2]}, "log10_strength must ascend"),
        ({"held_out": None}, "'held_out' goes with several strengths"),
        ({"bins": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DepthSettings.model_validate({**LOG.model_dump(), **changes})


def test_shipped_tasks_share_their_sums() -> None:
    registry = load_registry()
    backbone = registry.backbones["efficientnet_lite0_in1k"]
    sums = {
        need
        for name in ("depth", "depth_bins")
        for need in needs_of_task(registry.tasks[name], dataset(), backbone)
        if isinstance(need, StatisticsNeed) and need.accumulator.name == "depth_sums"
    }
    assert len(sums) == 2


def test_a_run_scores_depth_and_segmentation_in_one_pass(tmp_path: Path) -> None:
    words = "--tasks depth,segment --datasets openmoji_depth --limit 6 --offline --runtime eager"
    places = ["--results", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    assert main(["run", "--backbones", "raw_pixels", *words.split(), *places]) == 0
    records = {
        path.parts[-3]: json.loads(path.read_text())
        for path in (tmp_path / "results" / "records").glob("*/*/*.json")
    }
    assert {name: record["status"] for name, record in records.items()} == {
        "depth": "ok",
        "segment": "ok",
    }
    scores = {score["metric"]: score for score in records["depth"]["scores"]}
    assert scores["delta1"]["value"] < scores["delta1_ceiling"]["value"]
    assert "delta1_line" in scores and scores["silog_aligned_place"]["value"] > 0
    # maps of 6 images would hold 16 x 16 x 3 x 6 values; sums of 257 targets are smaller
    sizes = [size for _, size in stored_bytes(tmp_path / "cache")]
    assert len(sizes) == 2 * 5 and max(sizes) < 16_000
