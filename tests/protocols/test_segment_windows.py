"""Segmentation in windows, against torch's sums of upsampled logits, and in a run."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.errors import OK
from bob.extraction import accumulators
from bob.metrics.segmentation import mean_iou
from bob.numerics.dense.cells import cell_shares
from bob.numerics.linear.class_sums import ClassSums, head_path
from bob.protocols import Result, StatisticsNeed
from bob.protocols.segment import PROTOCOL, SegmentSettings
from bob.registry import load_registry
from bob.specs.yaml import plain
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, blocky_masks, mask_dataset, statistics_of
from tests.builders.slide import slide_logits

CLASSES, GRID = 3, (4, 4)
WHOLE = SegmentSettings(head="lda", input_px=None, log10_strength=(-3.0, 0.0, 4), held_out=0.25)
WINDOWS = WHOLE.model_copy(update={"windows": 2})


def dataset() -> Dataset:
    """Return 12 train and 8 test images of 8 x 8 cells, which the grid resolves in windows only."""
    return mask_dataset(
        {name: blocky_masks(n, CLASSES, 8, 5, n) for name, n in {"train": 12, "test": 8}.items()},
        CLASSES,
    )


def shares_of(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return maps that hold the shares of the classes, (n, 4, 4, 3)."""
    assert split.masks is not None
    grids = [cell_shares(split.masks.read(i), GRID, CLASSES) for i in at.tolist()]
    return np.stack(grids).astype(np.float32)


def noisy(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return shares under noise that depends on the window alone."""
    noise = [
        np.random.default_rng(int(split.content[i][:8], 16)).normal(size=(*GRID, CLASSES))
        for i in at.tolist()
    ]
    return (shares_of(split, at) + 0.5 * np.stack(noise)).astype(np.float32)


def solved(maps: Maps, settings: SegmentSettings, shard: int = 1000) -> Result:
    data = dataset()
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, maps, shard)
    return PROTOCOL.solve(PROTOCOL.build(settings, data, needs, inputs, 0), settings, "cpu")


def test_perfect_features_reach_a_ceiling_that_windows_raise() -> None:
    whole, windows = solved(shares_of, WHOLE), solved(shares_of, WINDOWS)
    low, high = (mean_iou(of.parts[1].outcome) for of in (whole, windows))  # type: ignore[arg-type]
    assert low + 0.05 < high
    assert mean_iou(windows.outcome) == pytest.approx(high, abs=0.03)  # type: ignore[arg-type]


def test_pixels_are_those_of_averaged_logits_of_a_head_of_all_windows() -> None:
    """One strength; the head is solved from the maps and shares of every window of train."""
    settings = WINDOWS.model_copy(update={"log10_strength": (-2.0, -2.0, 1), "held_out": None})
    outcome: Any = solved(noisy, settings).outcome
    data = dataset()
    train = ImageSet("train", windows=2).open(data)
    at = np.arange(len(train))
    shares = shares_of(train, at).reshape(-1, CLASSES).astype(float)
    (head,) = head_path("lda", ClassSums.of(noisy(train, at).reshape(-1, CLASSES), shares), [0.01])
    test = ImageSet("test", windows=2).open(data)
    masks = data.splits["test"].masks
    assert masks is not None
    for i in range(8):
        logits = head.logits(noisy(test, np.arange(4 * i, 4 * i + 4)))
        tensor = torch.from_numpy(logits).permute(0, 3, 1, 2).float()
        mask = masks.read(i)
        predicted = slide_logits(tensor, mask.shape, 2).argmax(0).numpy()
        for c in range(CLASSES):
            assert outcome.right[i, c] == ((predicted == c) & (mask == c)).sum()
            assert outcome.predicted[i, c] == (predicted == c).sum()
            assert outcome.true[i, c] == (mask == c).sum()


@pytest.mark.parametrize("chunk", [1, 2**22])
def test_results_do_not_depend_on_shards_and_chunks(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """Shards of two images; of one image at a time, all windows are predicted together."""
    whole = solved(noisy, WINDOWS)
    monkeypatch.setattr(accumulators, "CHUNK_VALUES", chunk)
    parts = solved(noisy, WINDOWS, shard=8)
    for name, values in whole.outcome.to_arrays().items():
        np.testing.assert_array_equal(values, parts.outcome.to_arrays()[name])
    assert whole.detail["strength"] == parts.detail["strength"]


def test_an_image_of_which_a_window_is_missing_is_left_out() -> None:
    data = dataset()
    settings = WINDOWS.model_copy(update={"log10_strength": (-2.0, -2.0, 1), "held_out": None})
    sums, counts = PROTOCOL.needs(settings, data, BASELINE)
    assert isinstance(sums, StatisticsNeed) and isinstance(counts, StatisticsNeed)
    earlier = statistics_of([sums], data, noisy).statistics(sums)
    test = counts.images.open(data)
    accumulator = counts.accumulator.create(test, lambda: [earlier])
    at = np.array([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    statistics = accumulator.start((*GRID, CLASSES))
    accumulator.update(statistics, at, noisy(test, at))
    assert statistics["positions"].tolist() == [0, 2]


def test_settings_without_windows_have_the_statistics_of_whole_images() -> None:
    needs = PROTOCOL.needs(WHOLE, dataset(), BASELINE)
    for need in needs:
        assert isinstance(need, StatisticsNeed)
        assert need.images.windows is None and "windows" not in dict(need.accumulator.settings)
    with pytest.raises(ValidationError, match="windows"):
        SegmentSettings.model_validate({**plain(WHOLE), "windows": 3})


def test_a_run_scores_images_and_embeds_their_windows(bob, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Beside the shipped task: 8 images per split, of which 4 windows each are embedded."""
    task = dict(plain(load_registry().tasks["segment"]))
    task["settings"] |= {"windows": 2, "input_px": 64}
    folder = tmp_path / "tasks"
    folder.mkdir()
    kept = ("version", "protocol", "summary", "settings", "metrics", "datasets")
    text = json.dumps({name: task[name] for name in kept})  # which is YAML
    (folder / "segment_windows.yaml").write_text(text)
    words = "--datasets openmoji_scenes --limit 8 --offline --runtime eager"
    chosen = ["--backbones", "raw_pixels", "--tasks", "segment_windows", "--tasks-dir", folder]
    code, out, err = bob("run", *chosen, *words.split())
    assert code == OK, err
    assert "96 images to decode" in out  # 8 of train, test and the shift, 4 windows of each
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    record = json.loads(path.read_text())
    scores = {score["metric"]: score for score in record["scores"]}
    assert scores["mean_iou"]["n"] == scores["mean_iou_line"]["n"] == 8
    assert scores["mean_iou"]["value"] <= scores["mean_iou_ceiling"]["value"]
    assert record["dataset"]["counts"]["test"] == 8 and record["cost"]["images"] == 96
