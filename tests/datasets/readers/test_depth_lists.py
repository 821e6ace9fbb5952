"""Images that lists pair with depth maps: the layouts of NYUv2 and KITTI, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from bob.datasets.depths import crop_window
from bob.errors import DatasetError, UnreadableImageError
from bob.specs import DepthListsSource
from tests.builders.images import save_pixels
from tests.builders.shipped_datasets import open_shipped

MILLIMETRES = np.array([[0, 500, 2000], [9999, 10_000, 65_535]], np.uint16)


def nyu(root: Path, depth: NDArray[np.generic] = MILLIMETRES) -> Path:
    """Write one train and one test image in the layout of NYUv2."""
    for room, number in (("kitchen_0028b", 45), ("bathroom", 46)):
        save_pixels(
            root / room / f"rgb_{number:05d}.jpg", np.zeros((*MILLIMETRES.shape, 3), np.uint8)
        )
        save_pixels(root / room / f"sync_depth_{number:05d}.png", depth)
    line = "{0}/rgb_{1}.jpg {0}/sync_depth_{1}.png 518.8579\n"
    (root / "nyu_train.txt").write_text("/" + line.format("kitchen_0028b", "00045"))
    (root / "nyu_test.txt").write_text(line.format("bathroom", "00046"))
    return root


def test_the_layout_of_nyu(tmp_path: Path) -> None:
    """Millimetres; 0 is unknown, and so is what is not between 1 mm and 10 m."""
    data = open_shipped("nyu_depth_v2", nyu(tmp_path / "nyu"))
    assert data.kind == "depth" and data.classes == ()
    assert [*data.splits["train"].ids] == ["kitchen_0028b/rgb_00045.jpg"]
    depths = data.splits["test"].depths
    assert depths is not None and depths.range_m == (0.001, 10) and depths.crop == "eigen"
    metres = depths.read(0)
    np.testing.assert_allclose(metres, [[np.nan, 0.5, 2], [9.999, 10, 65.535]], rtol=1e-6)
    assert depths.counted(metres).tolist() == [[False, True, True], [True, False, False]]


def test_the_layout_of_kitti(tmp_path: Path) -> None:
    """Two folders; 256 steps per metre; a test image without a depth map is left out."""
    root, drive = tmp_path / "kitti", "2011_09_26_drive_0002_sync"
    lines = []
    for number in (5, 6):
        image = f"2011_09_26/{drive}/image_02/data/{number:010d}.png"
        depth = f"{drive}/proj_depth/groundtruth/image_02/{number:010d}.png"
        save_pixels(root / "input" / image, np.zeros((2, 3, 3), np.uint8))
        save_pixels(root / "gt_depth" / depth, np.full((2, 3), 256 * number, np.uint16))
        lines.append(f"{image} {depth} 721.5377")
    (root / "kitti_eigen_train.txt").write_text(lines[0])
    (root / "kitti_eigen_test.txt").write_text(f"{lines[1]}\n{lines[0].split()[0]} None 721.5377\n")
    data = open_shipped("kitti_depth", root)
    test = data.splits["test"]
    assert test.depths is not None and len(test) == 1
    assert (test.depths.read(0) == 6).all() and test.depths.crop == "garg"
    assert data.unread == {"images without a depth map": 1}


def test_the_crops_are_those_of_the_official_codes() -> None:
    """Garg's fractions of 370 x 1224 px are 151.000001, 366.999999, 43.999997 and
    1180.000003, which the codes truncate."""
    assert crop_window("eigen", (480, 640)) == (slice(45, 471), slice(41, 601))
    with pytest.raises(UnreadableImageError, match="cut from depth maps of 640 x 480 px; got one"):
        crop_window("eigen", (240, 320))
    assert crop_window("garg", (370, 1224)) == (slice(151, 366), slice(43, 1180))


def test_the_depth_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    one = open_shipped("nyu_depth_v2", nyu(tmp_path / "a" / "nyu"))
    other = open_shipped("nyu_depth_v2", nyu(tmp_path / "b" / "nyu", MILLIMETRES + 1))
    assert one.splits["test"].content == other.splits["test"].content
    assert one.fingerprint() != other.fingerprint()


def test_missing_files_and_lists_are_named(tmp_path: Path) -> None:
    root = nyu(tmp_path / "nyu")
    (root / "bathroom" / "rgb_00046.jpg").unlink()
    with pytest.raises(DatasetError, match=r"files that do not exist: '.*rgb_00046.jpg'\. Lay out"):
        open_shipped("nyu_depth_v2", root)
    (root / "nyu_test.txt").write_text("bathroom/rgb_00046.jpg\n")
    with pytest.raises(DatasetError, match=r"nyu_test\.txt', line 1: expected the paths"):
        open_shipped("nyu_depth_v2", root)
    (root / "nyu_test.txt").unlink()
    with pytest.raises(DatasetError, match=r"nyu_test.txt': cannot be read"):
        open_shipped("nyu_depth_v2", root)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (MILLIMETRES[:1], r"depth map '.*' is 3 x 1 px, its image 3 x 2 px"),
        (np.zeros((2, 3, 3), np.uint8), r"depth map '.*' holds colours \(PIL mode 'RGB'\)"),
    ],
    ids=["size", "colours"],
)
def test_depth_maps_of_another_kind_are_refused(
    tmp_path: Path, depth: NDArray[np.generic], message: str
) -> None:
    data = open_shipped("nyu_depth_v2", nyu(tmp_path / "nyu", depth))
    depths = data.splits["test"].depths
    assert depths is not None
    with pytest.raises(UnreadableImageError, match=message):
        depths.read(0)


def test_the_range_ascends() -> None:
    with pytest.raises(ValidationError, match=r"range_m must ascend; got \[2.0, 1.0\]"):
        DepthListsSource(
            reader="depth_lists", path="x", lists={"train": "y"}, per_metre=1, range_m=(2.0, 1.0)
        )
