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
from bob.datasets.points import SeenSurface
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


def test_distances_on_the_surface_are_counted_too() -> None:
    """A plane of 1.5 cm a pixel, of which the left half is seen; equal features find pixel (0, 0).

    Of the first pair's points, (0.5, 0.5) is there, (1.5, 0.5) 1.5 cm away, and (3.5, 0.5) 4.5 cm;
    of the second's, (0.5, 11.5) is 16.5 cm away. Cameras are 20 and 90 degrees apart.
    """
    rows, columns = np.indices(SIZE)
    plane = 0.015 * np.stack([columns, rows, np.zeros(SIZE)], axis=-1).astype(np.float32)
    plane[:, 6:] = np.nan
    points = [np.array([[0.5, 0.5], [1.5, 0.5], [3.5, 0.5]]), np.array([[0.5, 0.5], [0.5, 11.5]])]
    surfaces = [
        SeenSurface(plane, np.column_stack([0.015 * (xy - 0.5), np.zeros(len(xy))]), angles)
        for xy, angles in zip(points, (np.full(3, 20.0), np.full(2, 90.0)), strict=True)
    ]
    flat = lambda split, at: np.ones((len(at), *GRID, 3), np.float32)  # noqa: E731
    result = solved(point_dataset(points, points, surfaces), flat)
    parts = {part.suffix: part.outcome for part in result.parts}
    hits = {name: of.hits.tolist() for name, of in parts.items() if isinstance(of, PairHits)}
    assert {name: of for name, of in hits.items() if "cm" in name} == {
        "1cm": [1, 1],
        "2cm": [2, 1],
        "5cm": [3, 1],
        "2cm_0_30": [2],
        "2cm_90_120": [1],
    }
    # Chance: of 192 px, a corner has 1 within 1 cm, 3 within 2 cm (the diagonal is 2.1 cm), and
    # within 5 cm = 3.33 px those with column² + row² <= 11: 4 in row 0, 4 (up to 3.2) in row 1,
    # 3 (up to 2.6) in row 2 and 2 (up to 1.4) in row 3, which are 13.
    near = {name: parts[name].by_chance[1] for name in ("1cm", "2cm", "5cm")}  # type: ignore[union-attr]
    # the second pair's other point is in the lower corner, whose surroundings are the same
    assert near == pytest.approx({"1cm": 1 / 192, "2cm": 3 / 192, "5cm": 13 / 192})


def test_pixels_beside_the_object_are_at_no_distance() -> None:
    plane = np.full((*SIZE, 3), np.nan, np.float32)
    points = [np.array([[0.5, 0.5]])]
    surface = SeenSurface(plane, np.zeros((1, 3)), np.zeros(1))
    flat = lambda split, at: np.ones((len(at), *GRID, 3), np.float32)  # noqa: E731
    parts = solved(point_dataset(points, points, [surface]), flat).parts
    (of,) = [part.outcome for part in parts if part.suffix == "5cm"]
    assert isinstance(of, PairHits) and of.hits.tolist() == [0] and of.by_chance.tolist() == [0]


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
