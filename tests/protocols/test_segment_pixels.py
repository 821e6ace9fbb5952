"""Segmentation heads that are fitted to upsampled pixels: against scikit-learn, and in runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from safetensors.numpy import load_file
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import interpolate

from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.errors import OK
from bob.features import sharding
from bob.features.shard import Arrays
from bob.numerics.arrays import Doubles, Ints
from bob.numerics.dense.cells import cell_shares
from bob.protocols import Result, StatisticsNeed
from bob.protocols.segment import PROTOCOL, SegmentSettings
from bob.registry import load_registry
from bob.specs.yaml import plain
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import blocky_masks, mask_dataset, statistics_of
from tests.builders.slide import slide_logits

CLASSES, GRID, SIZE = 3, (4, 4), (24, 30)
PATCHES = SegmentSettings(head="lda", input_px=None, log10_strength=(-3.0, 0.0, 4), held_out=0.25)
PIXELS = PATCHES.model_copy(update={"fit_on": "pixels"})
ONE = PIXELS.model_copy(update={"log10_strength": (-2.0, -2.0, 1), "held_out": None})


def dataset() -> Dataset:
    """Return 8 train and 4 test images of 6 x 6 blocks, a tenth of whose pixels do not count."""
    rng = np.random.default_rng(0)
    masks = {}
    for name, n in {"train": 8, "test": 4}.items():
        blocks = [np.repeat(of, 5, axis=1) for of in blocky_masks(n, CLASSES, 6, 1, n)]
        masks[name] = [
            np.where(rng.random(SIZE) < 0.1, -1, np.repeat(of, 4, axis=0)).astype(np.int16)
            for of in blocks
        ]
    return mask_dataset(masks, CLASSES)


def noisy(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the shares of the classes under noise that depends on the image alone."""
    assert split.masks is not None
    grids = []
    for i in at.tolist():
        noise = np.random.default_rng(int(split.content[i][:8], 16)).normal(size=(*GRID, CLASSES))
        grids.append(cell_shares(split.masks.read(i), GRID, CLASSES) + 0.3 * noise)
    return np.stack(grids).astype(np.float32)


def solved(settings: SegmentSettings, shard: int = 1000) -> Result:
    data = dataset()
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, noisy, shard)
    return PROTOCOL.solve(PROTOCOL.build(settings, data, needs, inputs, 0), settings, "cpu")


def train_pixels(windows: int | None) -> tuple[Doubles, Ints]:
    """Return the features (N, D) and classes (N,) of the labelled train pixels, by torch.

    Those of windows have the same number of pixels each, so that all pixels count alike.
    """
    split = ImageSet("train", windows=windows).open(dataset())
    assert split.masks is not None
    maps = torch.from_numpy(noisy(split, np.arange(len(split)))).double().permute(0, 3, 1, 2)
    masks = np.stack([split.masks.read(i) for i in range(len(split))])
    pixels = interpolate(maps, size=masks.shape[1:], mode="bilinear", align_corners=False)
    return pixels.permute(0, 2, 3, 1).numpy()[masks >= 0], masks[masks >= 0].astype(np.int64)


@pytest.mark.parametrize("windows", [None, 2])
@pytest.mark.parametrize("head", ["lda", "ridge"])
def test_heads_are_those_of_scikit_learn_on_upsampled_pixels(head: Any, windows: Any) -> None:
    """One strength, 0.01; every window of train is an image of its own."""
    result = solved(ONE.model_copy(update={"head": head, "windows": windows}))
    x, y = train_pixels(windows)
    scaler = StandardScaler().fit(x)
    scaled = scaler.transform(x)
    if head == "lda":
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.01).fit(scaled, y)
        logits_of = lda.decision_function
    else:
        logits_of = Ridge(alpha=0.01 * len(y)).fit(scaled, np.eye(CLASSES)[y]).predict
    test = ImageSet("test", windows=windows).open(dataset())
    whole = dataset().splits["test"].masks
    assert whole is not None
    maps = 1 if windows is None else windows**2
    outcome: Any = result.outcome
    for i in range(4):
        cells = noisy(test, np.arange(maps * i, maps * i + maps))
        logits = logits_of(scaler.transform(cells.reshape(-1, CLASSES).astype(np.float64)))
        tensor = torch.from_numpy(logits.reshape(-1, *GRID, CLASSES)).permute(0, 3, 1, 2).float()
        predicted = slide_logits(tensor, SIZE, windows or 1).argmax(0).numpy()
        mask = whole.read(i)
        for c in range(CLASSES):
            assert outcome.right[i, c] == ((predicted == c) & (mask == c)).sum()
            assert outcome.predicted[i, c] == ((predicted == c) & (mask >= 0)).sum()


def test_results_do_not_depend_on_shards() -> None:
    whole, parts = solved(PIXELS), solved(PIXELS, shard=3)
    for name, values in whole.outcome.to_arrays().items():
        np.testing.assert_array_equal(values, parts.outcome.to_arrays()[name])
    assert whole.detail == parts.detail and whole.detail["held_out_images"] == 2


def test_floor_and_ceiling_are_those_of_heads_on_patches() -> None:
    """The head differs, and neither the most frequent class of train nor the grid."""
    patches, pixels = solved(PATCHES), solved(PIXELS)
    for name in ("majority", "ceiling"):
        first, second = (_bound(of, name) for of in (patches, pixels))
        for key, values in first.items():
            np.testing.assert_array_equal(values, second[key])
    assert patches.outcome.to_arrays()["right"].tolist() != (
        pixels.outcome.to_arrays()["right"].tolist()
    )


def _bound(result: Result, name: str) -> Arrays:
    outcome: Any = result.parts[0].majority if name == "majority" else result.parts[1].outcome
    arrays: Arrays = outcome.to_arrays()
    return arrays


def test_sums_of_pixels_and_of_patches_are_other_statistics() -> None:
    """Those of patches are the ones that are stored already."""
    patches, pixels = (PROTOCOL.needs(of, dataset(), BASELINE) for of in (PATCHES, PIXELS))
    for first, second in zip(patches, pixels, strict=True):
        assert isinstance(first, StatisticsNeed) and isinstance(second, StatisticsNeed)
        assert first != second
        if first.after:  # counts depend on the sums
            assert first.accumulator == second.accumulator
            assert not {*first.after} & {*second.after}
    assert isinstance(patches[0], StatisticsNeed)
    assert patches[0].accumulator.facts() == {
        "name": "patch_sums",
        "version": 1,
        "settings": {"classes": CLASSES},
    }


def test_an_unknown_value_is_an_error_that_names_the_choices() -> None:
    with pytest.raises(ValidationError, match=r"fit_on[\s\S]*'patches' or 'pixels'"):
        SegmentSettings.model_validate({**plain(PATCHES), "fit_on": "images"})


# --- a run


@pytest.fixture
def own(tmp_path: Path) -> list[str | Path]:
    """Return the flags of a folder of 12 images, and of two tasks that fit heads to its pixels."""
    folder = tmp_path / "own"
    for split, n in {"train": 8, "test": 4}.items():
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for i, mask in enumerate(blocky_masks(n, CLASSES, 6, 7, n)):
            Image.fromarray(mask.astype(np.uint8)).save(folder / "masks" / split / f"{i}.png")
            grey = (mask * 90 + np.arange(42) % 9 * 3 + i).astype(np.uint8)
            Image.fromarray(grey).save(folder / "images" / split / f"{i}.png")
    (folder / "classes.txt").write_text("a\nb\nc\n")
    (tmp_path / "tasks").mkdir()
    for name in ("segment", "segment_ridge"):
        task = dict(plain(load_registry().tasks[name]))
        task["settings"] = {**task["settings"], "fit_on": "pixels", "input_px": 64}
        kept = ("version", "protocol", "summary", "settings", "metrics", "datasets")
        text = json.dumps({key: task[key] for key in kept})  # which is YAML
        (tmp_path / "tasks" / f"{name}_pixels.yaml").write_text(text)
    return ["--data", folder, "--tasks-dir", tmp_path / "tasks", "--backbones", "raw_pixels"]


TASKS = ["--tasks", "segment_pixels,segment_ridge_pixels", "--offline", "--runtime", "eager"]


def scores_of(tmp_path: Path) -> dict[str, dict[str, float]]:
    """Return the scores of the record of each task."""
    records = [
        json.loads(path.read_text()) for path in (tmp_path / "results" / "records").rglob("*.json")
    ]
    return {
        record["task"]["name"]: {score["metric"]: score["value"] for score in record["scores"]}
        for record in records
    }


def sums_in(tmp_path: Path) -> list[Path]:
    """Return the stored shards of sums of pixels."""
    return sorted(
        path
        for path in (tmp_path / "cache" / "features").rglob("*.safetensors")
        if '"pixel_sums"' in (path.parent / "key.json").read_text()
    )


def test_a_run_fits_both_heads_to_the_same_sums_and_resumes_at_a_missing_shard(
    bob: Callable[..., tuple[int, str, str]],
    own: list[str | Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Spans of 4 images: 6 or 7 train images to fit have two shards, the held-out ones have one."""
    monkeypatch.setattr(sharding, "SPAN_IMAGES", 4)
    code, _, err = bob("run", *own, *TASKS)
    assert code == OK, err
    scores, shards = scores_of(tmp_path), sums_in(tmp_path)
    assert {*scores} == {"segment_pixels", "segment_ridge_pixels"} and len(shards) == 3
    assert all(0.3 < of["mean_iou"] <= of["mean_iou_ceiling"] for of in scores.values())
    stored = [load_file(path) for path in shards]
    largest = max(values.nbytes for arrays in stored for values in arrays.values())
    assert largest <= 8 * CLASSES * 3  # of raw pixels, which have three channels
    shutil.rmtree(tmp_path / "results")
    shards[0].unlink()
    code, _, err = bob("run", *own, *TASKS)
    assert code == OK, err
    assert scores_of(tmp_path) == scores and sums_in(tmp_path) == shards
