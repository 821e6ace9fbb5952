"""SPair-71k's layout, in a tiny tree."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.points import TargetPoints
from bob.errors import DatasetError
from bob.registry import load_registry


def annotation(source: str, target: str, **changes: Any) -> dict[str, Any]:
    """Return a pair of images of 8 x 4 and 10 x 20 px (width x height)."""
    return {
        "category": "cat",
        "src_imname": source,
        "trg_imname": target,
        "src_imsize": [8, 4, 3],
        "trg_imsize": [10, 20, 3],
        "src_kps": [[1, 2], [6, 3]],
        "trg_kps": [[4, 10], [9, 19]],
        "trg_bndbox": [2, 3, 9, 19],
        **changes,
    }


def spair(root: Path, **changes: Any) -> Path:
    """Write two pairs: a → b and c → b, of which the second shares no point with the first."""
    images = root / "JPEGImages" / "cat"
    images.mkdir(parents=True)
    for name, size in (("a", (8, 4)), ("b", (10, 20)), ("c", (8, 4))):
        Image.new("RGB", size).save(images / f"{name}.jpg")
    pairs = root / "PairAnnotation" / "test"
    pairs.mkdir(parents=True)
    for number, source in enumerate("ac"):
        text = json.dumps(annotation(f"{source}.jpg", "b.jpg", **changes))
        (pairs / f"{number:06d}-{source}-b:cat.json").write_text(text)
    return root


def opened(root: Path) -> Dataset:
    spec = load_registry().datasets["spair_71k"]
    source = spec.source.model_copy(update={"path": str(root)})
    return open_dataset(spec.model_copy(update={"source": source}), root.parent / "cache")


def test_pairs_become_sources_and_targets(tmp_path: Path) -> None:
    data = opened(spair(tmp_path / "SPair-71k"))
    query, gallery = data.splits["query"], data.splits["gallery"]
    assert data.kind == "correspondence"
    assert [*query.ids] == ["query/JPEGImages/cat/a.jpg", "query/JPEGImages/cat/c.jpg"]
    assert [*gallery.ids] == ["gallery/JPEGImages/cat/b.jpg"]
    assert query.points is not None and gallery.points is not None
    assert gallery.points.sources[0] == tuple(query.ids)
    a, b = query.points.read(0), gallery.points.read(0)
    assert a.size == (4, 8) and a.xy.tolist() == [[1.5, 2.5], [6.5, 3.5]]
    assert isinstance(b, TargetPoints) and b.size == (20, 10)
    assert b.xy.tolist() == [[4.5, 10.5], [9.5, 19.5]] * 2 and b.pair.tolist() == [0, 0, 1, 1]
    # the box is 7 px wide and 16 px high
    assert b.extent_px.tolist() == [16.0] * 4
    np.testing.assert_allclose(b.source_place[:2], [[1.5 / 8, 2.5 / 4], [6.5 / 8, 3.5 / 4]])
    assert b.ids.tolist() == [*a.ids.tolist(), *query.points.read(1).ids.tolist()]
    assert len({*b.ids.tolist()}) == 4


def test_points_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    one = opened(spair(tmp_path / "a" / "SPair"))
    other = opened(spair(tmp_path / "b" / "SPair", trg_kps=[[4, 10], [9, 18]]))
    assert one.splits["query"].fingerprint == other.splits["query"].fingerprint
    assert one.splits["gallery"].fingerprint != other.splits["gallery"].fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"src_kps": [[1, 2]]}, r"src_kps and trg_kps must have as many points"),
        ({"trg_bndbox": [2, 3, 9]}, r"cannot be read \(not enough values to unpack"),
        ({"trg_bndbox": [2, 3, 2, 19]}, r"trg_bndbox has no extent; got \[2, 3, 2, 19\]"),
        ({"trg_kps": [[4, 10], [9, float("nan")]]}, "a coordinate is not finite; got"),
        ({"src_kps": [[1, 2, 3], [6, 3, 0]]}, r"cannot be read \(too many values to unpack"),
        ({"src_kps": [1, 2]}, r"cannot be read \('int' object is not iterable"),
        ({"src_imsize": [8]}, r"cannot be read \(list index out of range"),
        ({"src_imsize": [8, 0, 3]}, r"an image has no pixels; got the size \[8, 0, 3\]"),
        ({"trg_imname": "d.jpg"}, r"pairs name the image '.*d\.jpg', which does not exist"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        opened(spair(tmp_path / "SPair-71k", **changes))


def test_a_folder_without_pairs_and_a_pair_without_points_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"has no pairs 'PairAnnotation/test/\*\.json'"):
        opened(tmp_path / "empty")
    root = spair(tmp_path / "SPair-71k")
    (root / "PairAnnotation" / "test" / "000002.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"cannot be read \(it has no 'src_kps'\)"):
        opened(root)
