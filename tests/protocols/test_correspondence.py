"""Correspondence: features that say where a point is and others, and a slow reference."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, normalize

from bob.cli import main
from bob.datasets.dataset import Dataset, Split
from bob.datasets.limit import limited
from bob.errors import NotApplicableError
from bob.metrics.correspondence import pck, pck_per_point
from bob.outcomes import PairHits
from bob.protocols import Result
from bob.protocols.correspondence import PROTOCOL, CorrespondenceSettings, share_within
from tests.builders.correspondence import SIZE, point_dataset, random_points
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, statistics_of

SETTINGS = CorrespondenceSettings(input_px=None, within=(0.1, 0.5))
GRID = (6, 8)


def dataset() -> Dataset:
    """Return 5 pairs of 4 points; targets show them where sources do."""
    points = random_points(5, 4, 0)
    return point_dataset(points, points)


def places(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return maps whose features turn with the row and the column of a cell: cosines fall with
    distance."""
    rows, columns = ((np.arange(n) + 0.5) / n for n in GRID)
    angles = [np.broadcast_to(a, GRID) for a in (rows[:, None], columns[None])]
    one = np.concatenate([np.stack([np.cos(a), np.sin(a)], axis=-1) for a in angles], axis=-1)
    return np.stack([one.astype(np.float32)] * len(at))


def noise(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    seeds = [int(split.content[i][:8], 16) for i in at.tolist()]
    maps = [np.random.default_rng(seed).normal(size=(*GRID, 5)) for seed in seeds]
    return np.stack(maps).astype(np.float32)


def solved(data: Dataset, maps: Maps, shard: int = 1000) -> Result:
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    problem = PROTOCOL.build(SETTINGS, data, needs, statistics_of(needs, data, maps, shard), 0)
    return PROTOCOL.solve(problem, SETTINGS, "cpu")


def test_features_that_say_where_they_are_find_every_point() -> None:
    """Half a cell from the edge on, where bilinear maps are flat, and up to the nearest pixel."""
    points = [np.random.default_rng(1).uniform(1.5, 10.5, (4, 2)) for _ in range(3)]
    result = solved(point_dataset(points, points), places)
    assert pck(result.outcome) == pck_per_point(result.outcome) == 1
    (same,) = [part.outcome for part in result.parts if part.suffix == "same_place"]
    assert isinstance(same, PairHits) and pck(same) == 1


def test_equal_features_find_the_first_pixel() -> None:
    """The corner: its distance to (1.5, 0.5) is 1 of 10 px, to (9, 9) it is more than 0.5."""
    points = [np.array([[1.5, 0.5], [9.0, 9.0]])]
    flat = lambda split, at: np.ones((len(at), *GRID, 3), np.float32)  # noqa: E731
    result = solved(point_dataset(points, points), flat)
    assert result.outcome.hits.tolist() == [1] and result.outcome.points.tolist() == [2]


def test_predictions_are_those_of_an_evaluation_on_upsampled_maps() -> None:
    """As DIFT's code, for points at centres of pixels: explicit maps, cosines and distances."""
    rng = np.random.default_rng(3)
    sources, targets = (
        [rng.integers(0, (16, 12), (6, 2)) + 0.5 for _ in range(4)] for _ in range(2)
    )
    data = point_dataset(sources, targets)
    result = solved(data, noise)
    for i in range(4):
        maps = [
            interpolate(
                torch.from_numpy(noise(data.splits[name], np.array([i]))).permute(0, 3, 1, 2),
                size=SIZE,
                mode="bilinear",
                align_corners=False,
            )[0]
            for name in ("query", "gallery")
        ]
        hits = {0.1: 0, 0.5: 0}
        for (x, y), (u, v) in zip(sources[i] - 0.5, targets[i] - 0.5, strict=True):
            vector = normalize(maps[0][:, int(y), int(x)], dim=0)
            cosine = torch.einsum("dhw,d->hw", normalize(maps[1], dim=0), vector)
            row, column = np.unravel_index(int(cosine.argmax()), SIZE)
            distance = np.hypot(column - u, row - v) / 10
            hits = {within: n + (distance <= within) for within, n in hits.items()}
        found = {"0.1": result.parts[0].outcome, "0.5": result.parts[2].outcome}
        for within, count in hits.items():
            outcome: Any = found[f"{within:g}"]
            assert outcome.hits[i] == count
    assert [part.suffix for part in result.parts] == ["", "same_place", "0.5"]


@pytest.mark.parametrize(
    ("xy", "radius"), [((5.2, 3.9), 2.7), ((0.1, 11.9), 4.0), ((8.0, 6.0), 40.0), ((3.0, 3.0), 0.1)]
)
def test_chance_is_the_share_of_pixels_within_the_distance(
    xy: tuple[float, float], radius: float
) -> None:
    rows, columns = np.indices(SIZE) + 0.5
    expected = (np.hypot(columns - xy[0], rows - xy[1]) <= radius).mean()
    assert share_within(np.array(SIZE), np.array(xy), radius) == pytest.approx(expected)


def test_results_do_not_depend_on_shards() -> None:
    one, parts = solved(dataset(), noise), solved(dataset(), noise, shard=2)
    assert one.detail == parts.detail
    for name, values in one.outcome.to_arrays().items():
        np.testing.assert_array_equal(values, parts.outcome.to_arrays()[name])


def test_pairs_whose_source_is_missing_are_counted_and_not_scored() -> None:
    data = dataset()
    without = dict(data.splits)
    without["query"] = data.splits["query"].take(np.array([0, 2, 3, 4]))  # type: ignore[index]
    result = solved(Dataset("d", (), without, kind="correspondence"), noise)  # type: ignore[arg-type]
    assert len(result.outcome) == 4
    assert result.detail["pairs_without_source"] == 1 and result.detail["pairs"] == 4


def test_a_limit_keeps_pairs_together() -> None:
    cut = limited(dataset(), 2)
    shown = list(cut.splits["gallery"].points.sources)  # type: ignore[union-attr]
    assert len(shown) == 2
    assert {name for ids in shown for name in ids} == {*cut.splits["query"].ids}


def test_images_without_points_are_not_applicable() -> None:
    bare = {n: Split(s.ids, s.y, s.content, s.read) for n, s in dataset().splits.items()}
    with pytest.raises(NotApplicableError, match="needs points that correspond; query of dataset"):
        PROTOCOL.needs(SETTINGS, Dataset("d", (), bare), BASELINE)


def test_a_run_scores_pairs_and_stores_no_maps(tmp_path: Path) -> None:
    words = "--tasks correspondence --datasets openmoji_pairs --limit 6 --offline --runtime eager"
    places = ["--results", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    assert main(["run", "--backbones", "raw_pixels", *words.split(), *places]) == 0
    (path,) = (tmp_path / "results" / "records").glob("correspondence/*/*.json")
    record = json.loads(path.read_text())
    scores = {score["metric"]: score for score in record["scores"]}
    assert scores["pck"]["n"] == 6 and 0 < scores["pck"]["chance"] < 0.1
    assert {"pck_same_place", "pck_0.05", "pck_0.15", "pck_per_point"} <= set(scores)
    assert scores["pck_0.05"]["value"] <= scores["pck"]["value"] <= scores["pck_0.15"]["value"]
    # 12 points of 6 images; maps would hold 16 x 16 x 3 x 4 x 6 bytes
    shards = [*(tmp_path / "cache" / "features").rglob("*.safetensors")]
    assert len(shards) == 2 and max(shard.stat().st_size for shard in shards) < 10_000
