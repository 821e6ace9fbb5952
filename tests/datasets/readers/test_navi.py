"""NAVI's published layout: flat objects before cameras, and the arithmetic of their geometry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from bob.datasets.content.images import decode
from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.points import TargetPoints
from bob.datasets.readers import navi, navi_pairs
from bob.datasets.readers.navi import NaviCamera, ObjectCut, rotation_of
from bob.datasets.readers.navi_depth import relative_depth
from bob.errors import DatasetError, UnavailableError, UnreadableImageError
from bob.registry import load_registry
from tests.builders.navi import (
    FAR,
    FAR_MM,
    NEAR,
    NEAR_MM,
    PAIRS,
    QUARTER_TURN,
    STRAIGHT,
    annotation,
    square,
    write_pairs,
    write_scene,
)

NAMES = [f"bull/wild_set/images/{i:03d}.jpg" for i in range(2)]


def opened(entry: str, root: Path) -> Dataset:
    """Open an entry at another place, without its counts."""
    spec = load_registry().datasets[entry]
    source = spec.source.model_copy(update={"path": str(root)})
    return open_dataset(
        spec.model_copy(update={"source": source, "counts": {}}), root.parent / "cache"
    )


def two_views(root: Path, hidden: bool = False) -> Path:
    """Write a square of 65.535 mm from 327.675 mm, and turned by 90 degrees from twice as far.

    It takes 65.535 / 327.675 x 100 = 20 px around the optical axis at (30, 20), and then 10 px,
    moved by (6.5535, -13.107) / 655.35 x 100 = (1, -2) px. With `hidden`, something 100 mm nearer
    covers its left half in the second photograph.
    """
    far = square(26, 13, 10, 10, FAR)
    if hidden:
        far[:, 26:31] = np.where(far[:, 26:31] > 0, 1180, 0)  # 555.4 mm
    write_scene(
        root / "bull" / "wild_set",
        [
            annotation("000.jpg", STRAIGHT, (0, 0, NEAR_MM)),
            annotation("001.jpg", QUARTER_TURN, (6.5535, -13.107, FAR_MM)),
        ],
        [square(20, 10, 20, 20, NEAR), far],
    )
    write_pairs(root, f"{NAMES[0]} {NAMES[1]} 90.0")
    return root


def test_depth_is_relative_within_the_object(tmp_path: Path) -> None:
    """Values 2000, 1250 and 1000 are 327.675, 524.28 and 655.35 mm: 0, 0.6 and 1 of the span."""
    values = np.repeat([NEAR, 1250, FAR, FAR], 5)
    scene = [annotation("000.jpg", STRAIGHT, (0, 0, NEAR_MM))]
    for folder in ("multiview-00-pixel_5", "multiview_01", "wild_set", "video-00-pixel_5"):
        write_scene(tmp_path / "navi" / "bull" / folder, scene, [square(20, 10, 20, 20, values)])
    data = opened("navi_depth", tmp_path / "navi")
    assert data.kind == "depth"
    assert {name: [*split.ids] for name, split in data.splits.items()} == {
        "train": [
            "bull/multiview-00-pixel_5/images/000.jpg",
            "bull/multiview_01/images/000.jpg",
        ],
        "test": ["bull/wild_set/images/000.jpg"],
    }
    depths = data.splits["test"].depths
    assert depths is not None
    depth = depths.read(0)
    assert depth.shape == (20, 20) and depths.counted(depth).all()
    expected = np.repeat([0.01, 0.01 + 0.99 * 0.6, 1.0, 1.0], 5)
    np.testing.assert_allclose(depth, np.tile(expected, (20, 1)), atol=1e-6)


def test_depth_of_other_pixels_is_unknown(tmp_path: Path) -> None:
    """The square around 10 x 20 px (width x height) has 5 px to the left and right of it."""
    scene = [annotation("000.jpg", STRAIGHT, (0, 0, NEAR_MM))]
    for folder in ("multiview-00-pixel_5", "wild_set"):
        write_scene(tmp_path / "navi" / "bull" / folder, scene, [square(25, 10, 10, 20, NEAR)])
    depths = opened("navi_depth", tmp_path / "navi").splits["test"].depths
    assert depths is not None
    known = depths.counted(depths.read(0))
    np.testing.assert_array_equal(known, np.tile([False] * 5 + [True] * 10 + [False] * 5, (20, 1)))


def test_a_flat_object_is_not_stretched() -> None:
    """A span of 3 mm counts as 10 mm: the farthest is at 0.01 + 0.99 x 0.3."""
    depth = relative_depth(np.array([[400.0, 403.0, np.nan]], np.float32))
    np.testing.assert_allclose(depth, [[0.01, 0.307, np.nan]], atol=1e-6)
    assert np.isnan(relative_depth(np.full((2, 3), np.nan, np.float32))).all()


def test_images_are_cut_as_their_targets_are(tmp_path: Path) -> None:
    """Red is four times the column, green four times the row, as JPEG files keep them."""
    data = opened("navi_wild_pairs", two_views(tmp_path / "navi"))
    for split, left, top, side in (("query", 20, 10, 20), ("gallery", 26, 13, 10)):
        name = NAMES[split == "gallery"]
        images = data.splits[split]  # type: ignore[index]
        pixels = np.asarray(images.decode([*images.ids].index(f"{split}/{name}")), np.int64)
        assert pixels.shape == (side, side, 3)
        columns, rows = left + np.arange(side), top + np.arange(side)
        np.testing.assert_allclose(pixels[:, :, 0], np.tile(4 * columns, (side, 1)), atol=3)
        np.testing.assert_allclose(pixels[:, :, 1].T, np.tile(4 * rows, (side, 1)), atol=3)


@pytest.mark.parametrize("most_px", [512, 5])
def test_points_follow_object_and_cameras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_px: int
) -> None:
    """A pixel (10 + a, 10 + b) of the first square is 3.27675 (a, b) mm on the object.

    Turned to (-b, a) and twice as far, that is pixel (5 - b / 2, 5 + a / 2) of the second square.
    Where images are shrunk to 5 px, pixels are divided by 4 and by 2.
    """
    monkeypatch.setattr(navi, "MOST_PX", most_px)
    data = opened("navi_wild_pairs", two_views(tmp_path / "navi"))
    query, gallery = data.splits["query"], data.splits["gallery"]
    assert [*query.ids] == [f"query/{name}" for name in NAMES]  # each is a source once
    sources, targets = query.points, gallery.points
    assert sources is not None and targets is not None
    source = sources.read(0)
    at = [*gallery.ids].index(f"gallery/{NAMES[1]}")
    target = targets.read(at)
    assert isinstance(target, TargetPoints) and targets.sources[at] == (f"query/{NAMES[0]}",)
    sides = (20, 10) if most_px == 512 else (5, 5)
    assert source.size == (sides[0],) * 2 and target.size == (sides[1],) * 2
    assert len(source.xy) == navi_pairs.POINTS_MOST and source.ids.tolist() == target.ids.tolist()
    a, b = (source.xy * (20 / sides[0]) - 10).T
    expected = np.column_stack([5 - b / 2, 5 + a / 2]) * (sides[1] / 10)
    np.testing.assert_allclose(target.xy, expected, atol=1e-6)
    np.testing.assert_allclose(target.extent_px, sides[1])
    np.testing.assert_allclose(target.source_place, source.xy / sides[0])
    assert target.surface is not None
    before_camera = 3.27675e-3 * np.column_stack([-b, a]) + (6.5535e-3, -13.107e-3)
    np.testing.assert_allclose(target.surface.points_m[:, :2], before_camera, atol=1e-7)
    np.testing.assert_allclose(target.surface.points_m[:, 2], 0.65535, atol=1e-7)
    assert {*target.surface.angle_deg.tolist()} == {90.0}


def test_pairs_of_one_place_are_read_from_their_own_list(tmp_path: Path) -> None:
    root = tmp_path / "navi"
    names = [f"bull/multiview-00-pixel_5/images/{i:03d}.jpg" for i in range(2)]
    write_scene(
        root / "bull" / "multiview-00-pixel_5",
        [annotation(Path(name).name, STRAIGHT, (0, 0, NEAR_MM)) for name in names],
        [square(20, 10, 20, 20, NEAR)] * 2,
    )
    write_pairs(root, f"{names[0]} {names[1]} 10")
    (root / PAIRS).rename(root / PAIRS.replace("wild_set", "multiview"))
    data = opened("navi_multiview_pairs", root)
    assert [*data.splits["query"].ids] == [f"query/{name}" for name in names]


def test_the_surface_is_where_pixels_are(tmp_path: Path) -> None:
    """Pixel (i, j) of the second square is 6.5535 (i - 3.5, j - 6.5) mm off the axis: its centre is
    pixel (26.5 + i, 13.5 + j) of the photograph."""
    gallery = opened("navi_wild_pairs", two_views(tmp_path / "navi")).splits["gallery"]
    assert gallery.points is not None
    target = gallery.points.read([*gallery.ids].index(f"gallery/{NAMES[1]}"))
    assert isinstance(target, TargetPoints) and target.surface is not None
    pixels = target.surface.pixels_m
    for axis, off in ((0, 3.5), (1, 6.5)):
        across = 6.5535e-3 * (np.arange(10) - off)
        expected = np.broadcast_to(across if axis == 0 else across[:, None], (10, 10))
        np.testing.assert_allclose(pixels[:, :, axis], expected, rtol=1e-5)
    np.testing.assert_allclose(pixels[:, :, 2], 0.65535, rtol=1e-5)


def test_points_that_the_target_hides_are_left_out(tmp_path: Path) -> None:
    """The left half of the second square is covered, which shows the lower half of the first."""
    data = opened("navi_wild_pairs", two_views(tmp_path / "navi", hidden=True))
    sources = data.splits["query"].points
    assert sources is not None
    rows = sources.read(0).xy[:, 1]
    assert len(rows) > 0 and (rows <= 10).all()


def test_a_source_is_paired_with_one_image_at_a_small_angle(tmp_path: Path) -> None:
    """Of the images at 20, 120 and 121 degrees, one of the first two, whatever the list's order."""
    names = [f"bull/wild_set/images/{i:03d}.jpg" for i in range(4)]
    lines = [
        f"{names[0]} {name} {angle}" for name, angle in zip(names[1:], (20, 120, 121), strict=True)
    ]
    chosen = []
    for folder, of in (("a", lines), ("b", lines[::-1])):
        root = tmp_path / folder / "navi"
        write_scene(
            root / "bull" / "wild_set",
            [annotation(Path(name).name, STRAIGHT, (0, 0, NEAR_MM)) for name in names],
            [square(20, 10, 20, 20, NEAR)] * 4,
        )
        write_pairs(root, *of)
        data = opened("navi_wild_pairs", root)
        assert [*data.splits["query"].ids] == [f"query/{name}" for name in names[:3]]
        gallery = data.splits["gallery"]
        assert gallery.points is not None
        chosen.append(dict(zip(gallery.ids, gallery.points.sources, strict=True)))
    assert chosen[0] == chosen[1]
    of_first = [name for name, sources in chosen[0].items() if f"query/{names[0]}" in sources]
    assert of_first in ([f"gallery/{names[1]}"], [f"gallery/{names[2]}"])


@pytest.mark.parametrize(
    ("depth", "cut"),
    [
        (square(20, 10, 20, 10, 1), (20, 5, 20, 20)),
        (square(20, 0, 20, 10, 1), (20, 0, 20, 20)),
        (square(50, 30, 10, 6, 1), (50, 28, 10, 10)),
        (square(55, 36, 5, 4, 1), (55, 35, 5, 5)),
        (square(5, 10, 50, 10, 1), (5, 0, 50, 40)),
    ],
    ids=[
        "centred",
        "at the top",
        "lower right",
        "in the corner",
        "wider than the photograph is high",
    ],
)
def test_objects_are_cut_in_a_square(depth: Any, cut: tuple[int, ...]) -> None:
    """Left, top, width and height: the square around the box, moved into 60 x 40 px."""
    of = ObjectCut.around(np.where(depth > 0, 1.0, np.nan).astype(np.float32))
    assert (of.left, of.top, of.width, of.height) == cut


def test_rotations_are_those_of_scipy() -> None:
    for quaternion in np.random.default_rng(0).normal(size=(5, 4)):
        w, x, y, z = quaternion
        expected = Rotation.from_quat([x, y, z, w]).as_matrix()
        np.testing.assert_allclose(rotation_of(quaternion), expected, atol=1e-12)


def test_a_camera_takes_points_to_the_object_and_back() -> None:
    camera = NaviCamera.of(annotation("a.jpg", (0.1, -0.7, 0.3, 0.5), (10, -20, 400)))
    xy = np.random.default_rng(1).uniform(0, 40, (6, 2))
    seen = camera.seen_at(xy, np.linspace(200, 500, 6))
    again = camera.from_object(camera.to_object(seen))
    np.testing.assert_allclose(again, seen, atol=1e-9)
    np.testing.assert_allclose(camera.project(again), xy, atol=1e-9)


def test_depth_and_cameras_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    """A camera moves points and no image; a depth map changes both."""
    roots = [two_views(tmp_path / name / "navi") for name in "abc"]
    scene = roots[1] / "bull" / "wild_set"
    values = json.loads((scene / "annotations.json").read_text())
    values[1]["camera"]["t"][0] = 1.0
    (scene / "annotations.json").write_text(json.dumps(values))
    Image.fromarray(square(20, 10, 20, 20, NEAR - 1)).save(
        roots[2] / "bull" / "wild_set" / "depth" / "000.png"
    )
    data = [opened("navi_wild_pairs", root) for root in roots]
    content = [[*of.splits["query"].content] for of in data]
    assert content[0] == content[1] != content[2]
    assert len({of.fingerprint() for of in data}) == 3


def test_a_folder_that_is_not_there_says_how_to_obtain_it(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"navi' does not exist. Download navi_v1.5.tar.gz"):
        opened("navi_depth", tmp_path / "navi")


def _no_annotations(root: Path) -> None:
    (root / "bull" / "wild_set" / "annotations.json").unlink()


def _no_depth(root: Path) -> None:
    (root / "bull" / "wild_set" / "depth" / "001.png").unlink()


def _no_list(root: Path) -> None:
    (root / PAIRS).unlink()


def _annotated(*changes: Any) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        file = root / "bull" / "wild_set" / "annotations.json"
        first, second = json.loads(file.read_text())
        key, value = changes
        at = first["camera"] if key in first["camera"] else first
        at.pop(key) if value is None else at.update({key: value})
        file.write_text(json.dumps([first, second]))

    return write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_annotations, r"wild_set/annotations.json': cannot be read as NAVI's .* Unpack"),
        (_no_depth, r"its annotations.json files name files that do not exist: '.*depth/001.png'"),
        (_no_list, r"pairs-wild_set.txt': cannot be read"),
        (lambda root: write_pairs(root, "a b"), r"pairs-wild_set.txt', line 1: expected the paths"),
        (lambda root: write_pairs(root, f"{NAMES[0]} {NAMES[1]} x"), r"line 1: .* got '.* x'"),
        (
            lambda root: write_pairs(root, f"{NAMES[0]} {NAMES[1]} 121"),
            r"no pair at an angle of at",
        ),
        (
            lambda root: write_pairs(root, f"{NAMES[0]} bull/wild_set/images/007.jpg 3"),
            r"names 'bull/wild_set/images/007.jpg', which the annotations.json of its folder",
        ),
        (_annotated("q", [1, 0, 0]), r"annotations.json': .*q must hold four numbers"),
        (_annotated("q", [0, 0, 0, 0]), r"annotations.json': .*q not zero"),
        (_annotated("focal_length", None), r"annotations.json': .*'focal_length' is missing"),
        (_annotated("image_size", [0, 60]), r"annotations.json': .*image_size must be positive"),
        (_annotated("filename", "../a.jpg"), r"filename must be a name in the folder images"),
        (_annotated("filename", "001.jpg"), r"it names an image twice"),
        (
            lambda root: (root / "bull" / "wild_set" / "annotations.json").write_text("{}"),
            r"annotations.json': .*it is no list",
        ),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    root = two_views(tmp_path / "navi")
    change(root)
    with pytest.raises(DatasetError, match=message):
        opened("navi_wild_pairs", root)


def test_a_folder_without_scenes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "navi").mkdir()
    with pytest.raises(DatasetError, match=r"has no folders OBJECT/multiview\*. Unpack"):
        opened("navi_depth", tmp_path / "navi")


def test_sizes_must_be_those_of_the_annotations(tmp_path: Path) -> None:
    root = two_views(tmp_path / "navi")
    Image.new("RGB", (40, 60)).save(root / NAMES[0])
    query = opened("navi_wild_pairs", root).splits["query"]
    with pytest.raises(UnreadableImageError, match=r"000.jpg' is 40 x 60 px; .* 60 x 40 px"):
        query.decode(0)


def test_photographs_turned_by_exif_are_upright(tmp_path: Path) -> None:
    """Orientation 6 is that of a camera that was held upright: rows of the file are columns."""
    root = two_views(tmp_path / "navi")
    exif = Image.Exif()
    exif[274] = 6
    image = decode((root / NAMES[0]).read_bytes(), "a")
    image.transpose(Image.Transpose.ROTATE_90).save(root / NAMES[0], quality=100, exif=exif)
    query = opened("navi_wild_pairs", root).splits["query"]
    red = np.asarray(query.decode(0), np.int64)[:, :, 0]
    np.testing.assert_allclose(red, np.tile(4 * (20 + np.arange(20)), (20, 1)), atol=4)


def test_a_depth_map_without_the_object_leaves_its_pairs_without_points(tmp_path: Path) -> None:
    root = two_views(tmp_path / "navi")
    Image.fromarray(square(0, 0, 0, 0, 0)).save(root / "bull" / "wild_set" / "depth" / "001.png")
    data = opened("navi_wild_pairs", root)
    query = data.splits["query"]
    assert query.points is not None
    assert len(query.points.read(0).xy) == 0 and query.decode(0).size == (20, 20)
    with pytest.raises(UnreadableImageError, match=r"depth/001.png': no pixel shows the object"):
        query.decode(1)
