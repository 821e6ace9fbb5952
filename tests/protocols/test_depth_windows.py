"""Depth in windows: bounds by hand, and against torch's mean of upsampled cells."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError
from bob.metrics.depth import delta1, depth_rmse
from bob.numerics.dense.cells import cell_means
from bob.protocols import Result
from bob.protocols.depth import PROTOCOL, DepthSettings
from tests.builders.depth import blocky_depths, depth_dataset, depth_part
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, statistics_of
from tests.builders.slide import slide_logits

GRID = (4, 4)
WHOLE = DepthSettings(
    head="log", input_px=None, bins=8, log10_strength=(-6.0, 0.0, 3), held_out=0.25
)
WINDOWS = WHOLE.model_copy(update={"windows": 2})
ONE = WINDOWS.model_copy(update={"log10_strength": (-6.0, -6.0, 1), "held_out": None})
DATA = depth_dataset(
    {name: blocky_depths(n, 8, 5, n) for name, n in {"train": 12, "test": 8}.items()}
)


def log_cells(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return maps of the mean log depth of cells, (n, 4, 4, 1)."""
    assert split.depths is not None
    maps = [np.log(split.depths.read(i)) for i in at.tolist()]
    grids = [cell_means(m, np.ones(m.shape, bool), GRID)[0] for m in maps]
    return np.stack(grids)[..., None].astype(np.float32)


def solved(maps: Maps, settings: DepthSettings, shard: int = 1000, data: Any = DATA) -> Result:
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, maps, shard)
    return PROTOCOL.solve(PROTOCOL.build(settings, data, needs, inputs, 0), settings, "cpu")


def test_perfect_features_reach_a_ceiling_that_windows_raise() -> None:
    whole, windows = solved(log_cells, WHOLE), solved(log_cells, WINDOWS)
    assert delta1(depth_part(whole, "ceiling")) + 0.05 < delta1(depth_part(windows, "ceiling"))
    ceiling = depth_part(windows, "ceiling")
    np.testing.assert_allclose(windows.outcome.rmse, ceiling.rmse, rtol=1e-3)  # type: ignore[attr-defined]


def depths_of(wide: bool) -> dict[str, Any]:
    """Return depth maps of 40 x 40 px, between 10 columns of 90 m on either side if wide."""
    maps = {name: blocky_depths(n, 8, 5, n) for name, n in {"train": 12, "test": 8}.items()}
    columns = ((0, 0), (10, 10) if wide else (0, 0))
    return {
        name: [np.pad(of, columns, constant_values=90) for of in of_split]
        for name, of_split in maps.items()
    }


def test_of_centred_squares_depth_outside_counts_for_nothing() -> None:
    centred = WHOLE.model_copy(update={"windows": "center"})
    wide = solved(log_cells, centred, data=depth_dataset(depths_of(wide=True)))
    square = solved(log_cells, WHOLE, data=depth_dataset(depths_of(wide=False)))
    for suffix in ("", "ceiling", "aligned"):
        expected = depth_part(square, suffix).to_arrays()
        for name, values in depth_part(wide, suffix).to_arrays().items():
            np.testing.assert_array_equal(values, expected[name])
    assert square.shown and not wide.shown  # pages show whole images


def test_a_part_of_whole_images_that_is_scored_has_no_centred_squares() -> None:
    data = depth_dataset(depths_of(wide=True))
    test = data.splits["test"]
    assert test.depths is not None
    cropped = replace(test, depths=replace(test.depths, crop="garg"))
    data = replace(data, splits={**data.splits, "test": cropped})
    centred = WHOLE.model_copy(update={"windows": "center"})
    with pytest.raises(NotApplicableError, match="crop 'garg'"):
        PROTOCOL.needs(centred, data, BASELINE)


def test_depth_is_the_mean_of_what_windows_say_in_metres() -> None:
    result = solved(log_cells, ONE)
    test, whole = ImageSet("test", windows=2).open(DATA), DATA.splits["test"]
    assert whole.depths is not None
    for i in range(8):
        cells = np.exp(log_cells(test, np.arange(4 * i, 4 * i + 4)))
        true = whole.depths.read(i)
        mean = slide_logits(torch.from_numpy(cells).permute(0, 3, 1, 2), true.shape, 2)[0].numpy()
        rmse = float(np.sqrt(np.mean((mean - true) ** 2)))
        assert depth_part(result, "ceiling").rmse[i] == pytest.approx(rmse, rel=1e-5)
    shown: Any = result.shown
    assert shown["position"].tolist() == [*range(8)] and "colours" not in shown


def test_places_are_those_of_each_window() -> None:
    """Of three columns, the first window has 1 m and 2 m, the second one 2 m and 4 m."""
    row = [np.array([[1, 2, 4]], np.float32)]
    data = depth_dataset({"train": row, "test": row})
    flat = lambda split, at: np.ones((len(at), 1, 2, 1), np.float32)  # noqa: E731
    result = solved(flat, ONE, data=data)
    assert depth_rmse(depth_part(result, "place")) == pytest.approx(0, abs=1e-6)
    # the mean log depth of two windows: that of 1, 2, 2 and 4
    rmse = np.sqrt(((1 - 2) ** 2 + 0 + (4 - 2) ** 2) / 3)
    assert depth_rmse(depth_part(result, "constant")) == pytest.approx(rmse)


def test_results_do_not_depend_on_shards() -> None:
    whole, parts = solved(log_cells, WINDOWS), solved(log_cells, WINDOWS, shard=8)
    for name, values in whole.outcome.to_arrays().items():
        np.testing.assert_allclose(values, parts.outcome.to_arrays()[name], rtol=1e-9)


def test_an_image_of_which_a_window_is_missing_is_left_out() -> None:
    sums, errors = PROTOCOL.needs(ONE, DATA, BASELINE)
    earlier = statistics_of([sums], DATA, log_cells).statistics(sums)  # type: ignore[arg-type]
    test = errors.images.open(DATA)  # type: ignore[union-attr]
    accumulator = errors.accumulator.create(test, lambda: [earlier])  # type: ignore[union-attr]
    at = np.array([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    statistics = accumulator.start((*GRID, 1))
    accumulator.update(statistics, at, log_cells(test, at))
    assert statistics["positions"].tolist() == [0, 2]
