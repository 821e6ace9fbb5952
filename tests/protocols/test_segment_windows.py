"""Segmentation in windows, against torch's sums of upsampled logits, and in a run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.errors import FAILED, OK
from bob.extraction import accumulators
from bob.metrics.segmentation import mean_iou
from bob.numerics.dense.cells import cell_shares
from bob.numerics.dense.pixels import at_centres
from bob.numerics.linear.class_sums import ClassSums, head_path
from bob.protocols import Result, StatisticsNeed
from bob.protocols.segment import PROTOCOL, SegmentSettings
from bob.protocols.segment_knn import PROTOCOL as KNN
from bob.protocols.segment_knn import SegmentKnnSettings
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
    result = solved(noisy, settings)
    outcome: Any = result.outcome
    shown: Any = result.shown
    assert shown["position"].tolist() == [*range(8)]
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
        np.testing.assert_array_equal(shown["classes"][i], at_centres(predicted, (72, 72)))
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


@pytest.mark.parametrize("nearest", [False, True])
def test_of_centred_squares_pixels_outside_count_for_nothing(nearest: bool) -> None:
    """Masks of 40 x 60 px, of 5 px a cell: 10 columns on either side are not scored."""
    masks = {
        name: [np.hstack([mask, mask[:, :20]]) for mask in blocky_masks(n, CLASSES, 8, 5, n)]
        for name, n in {"train": 12, "test": 8}.items()
    }
    data = mask_dataset(masks, CLASSES)
    settings: Any = WHOLE.model_copy(update={"windows": "center"})
    protocol: Any = PROTOCOL
    if nearest:
        values = {"input_px": None, "memory": 192, "k": 1, "temperature": 0.02}
        settings, protocol = SegmentKnnSettings.model_validate(values | {"windows": "center"}), KNN
    needs = protocol.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, shares_of)
    result = protocol.solve(protocol.build(settings, data, needs, inputs, 0), settings, "cpu")
    expected = [
        [int((mask[:, 10:50] == c).sum()) for c in range(CLASSES)] for mask in masks["test"]
    ]
    assert result.outcome.true.tolist() == expected
    assert not result.shown  # pages show whole images


def test_nearest_patches_of_windows_reach_the_ceiling_that_windows_raise() -> None:
    """Two of the 16 patches of each of 12 x 4 train windows; perfect features."""
    data, ceilings = dataset(), []
    for windows in (None, 2):
        settings = SegmentKnnSettings(
            input_px=None, memory=96, k=1, temperature=0.02, windows=windows
        )
        needs = KNN.needs(settings, data, BASELINE)
        problem = KNN.build(settings, data, needs, statistics_of(needs, data, shares_of), 0)
        result = KNN.solve(problem, settings, "cpu")
        assert result.detail["memory_patches"] == 96
        ceilings.append(mean_iou(result.parts[1].outcome))  # type: ignore[arg-type]
    assert ceilings[0] + 0.05 < ceilings[1]
    assert mean_iou(result.outcome) == pytest.approx(ceilings[1], abs=0.05)  # type: ignore[arg-type]


# --- a run


def write_images(folder: Path) -> None:
    """Write 10 train and 6 test images of known masks, the last of each cut in its middle."""
    (folder / "classes.txt").parent.mkdir()
    (folder / "classes.txt").write_text("a\nb\nc\n")
    for split, n in {"train": 10, "test": 6}.items():
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for i, mask in enumerate(blocky_masks(n, CLASSES, 8, 5, n)):
            classes = Image.fromarray(mask.astype(np.uint8))
            classes.save(folder / "masks" / split / f"{i}.png")
            shown = folder / "images" / split / f"{i}.png"
            Image.fromarray((mask * 100).astype(np.uint8)).save(shown)
        data = shown.read_bytes()
        shown.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(("windows", "maps"), [(2, 4), ("center", 1)])
def test_a_run_embeds_windows_and_counts_images(
    bob: Callable[..., tuple[int, str, str]], tmp_path: Path, windows: str | int, maps: int
) -> None:
    """The windows of each image of which none is cut; the error names the others once."""
    write_images(tmp_path / "own")
    task = dict(plain(load_registry().tasks["segment"]))
    task["settings"] = {**task["settings"], "windows": windows, "input_px": 64}
    (tmp_path / "tasks").mkdir()
    kept = ("version", "protocol", "summary", "settings", "metrics", "datasets")
    text = json.dumps({name: task[name] for name in kept})  # which is YAML
    (tmp_path / "tasks" / "segment_windows.yaml").write_text(text)
    own = ["--data", tmp_path / "own", "--tasks-dir", tmp_path / "tasks"]
    words = "--tasks segment_windows --backbones raw_pixels --offline --runtime eager"
    code, _, err = bob("run", *own, *words.split())
    assert code == FAILED
    assert "test: 1 image cannot be used" in err and err.count("5.png") == 1, err
    code, _, err = bob("run", *own, *words.split(), "--skip-bad-images")
    assert code == OK, err
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    record = json.loads(path.read_text())
    (score,) = (score for score in record["scores"] if score["metric"] == "mean_iou")
    assert score["n"] == 5 and record["dataset"]["counts"] == {"train": 9, "test": 5}
    assert {name: len(of) for name, of in record["dataset"]["bad_images"].items()} == {
        "train": 1,
        "test": 1,
    }
    assert record["cost"]["images"] == maps * (9 + 5)
