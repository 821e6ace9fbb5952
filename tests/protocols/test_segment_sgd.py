"""Segmentation by a trained head: bounds, masks that are shrunk, stored maps and their budget."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from bob.cli import main
from bob.metrics.segmentation import mean_iou
from bob.protocols import Result
from bob.protocols.segment_sgd import PROTOCOL, SegmentSgdSettings, limited_to
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, statistics_of
from tests.protocols.test_segment import constant, dataset, noisy, shares_of

SETTINGS = SegmentSgdSettings(
    input_px=None,
    epochs=60,
    batch=4,
    lr=0.05,
    weight_decay=0.0,
    dropout=0.0,
    warm_up=0.05,
    decay="cosine",
    loss_px=512,
    max_gib=1.0,
)


def solved(maps: Maps, seed: int = 0, shard: int = 1000, **changes: Any) -> Result:
    data, settings = dataset(), SETTINGS.model_copy(update=changes)
    needs = PROTOCOL.needs(settings, data, BASELINE)
    problem = PROTOCOL.build(settings, data, needs, statistics_of(needs, data, maps, shard), seed)
    return PROTOCOL.solve(problem, settings, "cpu")


def test_perfect_features_reach_the_ceiling() -> None:
    """Cells of one class each: logits that grow with the shares have their argmax."""
    result = solved(shares_of)
    ceiling = mean_iou(result.parts[1].outcome)  # type: ignore[arg-type]
    assert result.parts[1].suffix == "ceiling"
    assert mean_iou(result.outcome) == pytest.approx(ceiling, abs=0.03)


def test_constant_features_predict_one_class() -> None:
    outcome = solved(constant, epochs=2).outcome
    assert ((outcome.predicted > 0).sum(axis=1) == 1).all()


def test_results_depend_on_the_seed_and_not_on_shards() -> None:
    of: dict[str, Any] = {"epochs": 2, "dropout": 0.3}
    whole, parts, other = solved(noisy, **of), solved(noisy, shard=5, **of), solved(noisy, 1, **of)
    for name, values in whole.outcome.to_arrays().items():
        np.testing.assert_array_equal(values, parts.outcome.to_arrays()[name])
    assert not np.array_equal(whole.outcome.right, other.outcome.right)


def test_a_large_mask_is_read_at_equal_distances() -> None:
    """Of 2 x 4 pixels, those at the centres of halves: columns 1 and 3, row 1."""
    mask = np.arange(8, dtype=np.int16).reshape(2, 4)
    assert limited_to(mask, 2).tolist() == [[5, 7]]
    assert limited_to(mask, 4).tolist() == mask.tolist()


def test_a_run_stores_maps_where_they_fit_into_the_budget(tmp_path: Path) -> None:
    """Of 4 images of train, of test and of the shift, 16 x 16 x 3 float32: 1.14e-5 GiB each."""
    text = Path("tasks/segment_sgd.yaml").read_text().replace("epochs: 20", "epochs: 1")
    for name, max_gib in (("fits", "1.2e-5"), ("exceeds", "1.1e-5")):
        of_name = text.replace("max_gib: 16", f"max_gib: {max_gib}")
        (tmp_path / f"{name}.yaml").write_text(of_name)
    words = "run --backbones raw_pixels --tasks fits,exceeds --datasets openmoji_scenes --limit 4"
    places = ["--tasks-dir", tmp_path, "--results", tmp_path / "r", "--cache-dir", tmp_path / "c"]
    flags = ["--offline", "--runtime", "eager", *map(str, places)]
    assert main([*words.split(), *flags]) == 0
    fits, exceeds = (record_of(tmp_path / "r", name) for name in ("fits", "exceeds"))
    scores = {score["metric"]: score["value"] for score in fits["scores"]}
    assert 0 < scores["mean_iou"] < scores["mean_iou_ceiling"] <= 1 and "mean_iou_line" in scores
    assert exceeds["status"] == "not_applicable"
    assert "stores at most 1.1e-05 GiB of features of a set of images" in exceeds["reason"]
    assert "has 1.14e-05 GiB of train of dataset" in exceeds["reason"]
    shards = [load_file(path) for path in (tmp_path / "c" / "features").rglob("*.safetensors")]
    maps = [values for arrays in shards for values in arrays.values() if values.ndim == 4]
    assert [values.shape for values in maps] == 3 * [(4, 16, 16, 3)]


def record_of(results: Path, task: str) -> dict[str, Any]:
    (path,) = (results / "records" / task).rglob("*.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record
