"""The pairs of warped drawings: points lie where the images show them."""

from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.points import TargetPoints
from bob.datasets.readers.openmoji import Drawing
from bob.datasets.readers.scenes import SIDE_PX, SceneDrawings
from bob.datasets.readers.warped_pairs import PairMaker, plan_pair, project
from bob.registry import load_registry

ENTRIES = load_registry().datasets
HALVES = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4">
<rect x="0" y="0" width="2" height="4" fill="#ff0000"/>
<rect x="2" y="0" width="2" height="4" fill="#0000ff"/></svg>"""
"""Red on the left, blue on the right."""


@pytest.fixture(scope="module")
def data(shared_cache: Path) -> Dataset:
    return open_dataset(ENTRIES["openmoji_pairs"], shared_cache, entries=ENTRIES)


def test_points_of_both_images_have_the_same_numbers_and_lie_inside(data: Dataset) -> None:
    sources, targets = (data.splits[name].points for name in ("query", "gallery"))  # type: ignore[index]
    assert sources is not None and targets is not None and data.kind == "correspondence"
    seen: set[int] = set()
    for i in (0, 7, 150):
        source, target = sources.read(i), targets.read(i)
        assert isinstance(target, TargetPoints) and source.ids.tolist() == target.ids.tolist()
        assert len(source.ids) > 2 and not seen & {*source.ids.tolist()}
        seen |= {*source.ids.tolist()}
        for xy in (source.xy, target.xy):
            assert xy.min() > 0 and xy.max() < SIDE_PX
        np.testing.assert_allclose(target.source_place * SIDE_PX, source.xy)
        assert targets.sources[i] == (data.splits["query"].ids[i],)


def test_images_differ_and_are_made_alike_again(data: Dataset) -> None:
    query, gallery = data.splits["query"], data.splits["gallery"]
    assert query.read(3) == query.read(3) != gallery.read(3)
    assert len({*query.content, *gallery.content}) == 400


def test_points_are_where_the_homographies_put_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points on the left of the drawing are on red pixels of both images, the others on blue."""
    monkeypatch.setattr("bob.datasets.readers.scenes.NOISE", 0)
    drawing = Drawing(Path("x.svg"), "colour", "", {"category": "Objects"})
    maker = PairMaker(SceneDrawings([drawing], ["x"], lambda _: HALVES, {}))
    for number in range(4):
        pair = plan_pair([0], number)
        drawn = maker._points(pair)
        inner = np.abs(drawn - SIDE_PX / 2).max(axis=1) < 110
        sides = (drawn[:, 0] > SIDE_PX / 2) & inner
        for name, warp, points in (
            ("source/x", pair.source, maker.source_points(pair)),
            ("target/x", pair.target, maker.target_points(pair)),
        ):
            np.testing.assert_allclose(project(warp, drawn), points.xy)
            pixels = np.asarray(maker.image(name, 0, warp, "colour")).astype(np.int64)
            columns, rows = np.floor(points.xy).astype(np.int64).T
            is_blue = pixels[rows, columns, 2] > pixels[rows, columns, 0]
            far = inner & (np.abs(drawn[:, 0] - SIDE_PX / 2) > 4)
            assert is_blue[far].tolist() == sides[far].tolist() and far.sum() > 3


def test_the_line_style_has_the_same_sources_and_points(data: Dataset, tmp_path: Path) -> None:
    line = open_dataset(ENTRIES["openmoji_pairs_line"], tmp_path, entries=ENTRIES)
    assert line.splits["query"].content == data.splits["query"].content
    targets = [each.splits["gallery"].points for each in (data, line)]
    assert targets[0] is not None and targets[1] is not None
    np.testing.assert_array_equal(targets[0].read(2).xy, targets[1].read(2).xy)
    assert data.splits["gallery"].read(2) != line.splits["gallery"].read(2)
