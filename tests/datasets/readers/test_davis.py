"""DAVIS 2017's layout, in a tiny tree."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bob.datasets.dataset import Dataset
from bob.datasets.masks import IGNORED
from bob.datasets.open import open_dataset
from bob.errors import DatasetError
from bob.registry import load_registry


def davis(root: Path) -> Path:
    """Write two videos of 3 and 2 frames of 4 x 2 px, of which the list names both in this order.

    Frame t of a video has object 1 in column t, and a void pixel at the lower right.
    """
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("swan\nbear\n")
    for video, count in (("swan", 3), ("bear", 2)):
        frames, masks = (root / name / "480p" / video for name in ("JPEGImages", "Annotations"))
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for t in range(count):
            Image.new("RGB", (4, 2), (40 * t, 0, len(video) * count)).save(frames / f"{t:05d}.jpg")
            indices = np.zeros((2, 4), np.uint8)
            indices[:, t], indices[1, 3] = 1, 255
            palette = Image.fromarray(indices)
            palette.putpalette([level for level in range(256) for _ in "rgb"])
            palette.save(masks / f"{t:05d}.png")
    return root


def opened(root: Path) -> Dataset:
    spec = load_registry().datasets["davis2017"]
    source = spec.source.model_copy(update={"path": str(root)})
    changes: dict[str, Any] = {"source": source, "counts": {}}
    return open_dataset(spec.model_copy(update=changes), root.parent / "cache")


def test_videos_are_groups_of_frames_in_order(tmp_path: Path) -> None:
    data = opened(davis(tmp_path / "DAVIS"))
    test = data.splits["test"]
    assert data.kind == "video" and list(data.splits) == ["test"]
    assert list(test.groups or ()) == ["swan"] * 3 + ["bear"] * 2
    assert test.ids[1] == "JPEGImages/480p/swan/00001.jpg" and test.masks is not None
    assert test.masks.read(1).tolist() == [[0, 1, 0, 0], [0, 1, 0, IGNORED]]


def test_frames_are_ordered_by_their_numbers(tmp_path: Path) -> None:
    """Frames of own videos often have names without zeros in front: 2 comes before 10."""
    root = davis(tmp_path / "DAVIS")
    for folder in ("JPEGImages", "Annotations"):
        for old, new in (("00000", "1"), ("00001", "2"), ("00002", "10")):
            (path,) = (root / folder / "480p" / "swan").glob(f"{old}.*")
            path.rename(path.with_stem(new))
    names = [Path(name).stem for name in opened(root).splits["test"].ids[:3]]
    assert names == ["1", "2", "10"]


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS")
    (root / "ImageSets" / "2017" / "val.txt").write_text("swan\ncow\n")
    with pytest.raises(DatasetError, match=r"val\.txt names video 'cow', of which JPEGImages"):
        opened(root)


def test_a_frame_without_a_mask_is_refused(tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS")
    (root / "Annotations" / "480p" / "bear" / "00001.png").unlink()
    with pytest.raises(DatasetError, match=r"the lists name files that do not exist: .*00001\.png"):
        opened(root)
