"""Images and class folders made on the fly, for the tests of datasets."""

import importlib
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    b"size 12345\n"
)
"""The example of Git LFS's specification (github.com/git-lfs/git-lfs, docs/spec.md)."""


def png(shade: int) -> bytes:
    """Return a small grey PNG; every shade is another image."""
    buffer = io.BytesIO()
    Image.new("L", (4, 3), shade % 256).resize((4 + shade // 256, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def make_class_folders(root: Path, **counts: int) -> Path:
    """Create class folders with so many distinct images each; `train__cat=3` is train/cat."""
    for n, (name, count) in enumerate(counts.items()):
        folder = root / name.replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (folder / f"{i}.png").write_bytes(png(20 * n + i))
    return root


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if an image is hashed or read from here on; caches may still be read."""

    def fail(*_: object) -> None:
        raise AssertionError("an image was read")

    for module in (
        "content.digests",
        "readers.folder",
        "readers.table",
        "readers.tables",
        "readers.samples",
    ):
        monkeypatch.setattr(
            importlib.import_module(f"bob.datasets.{module}"), "read_file", fail, raising=False
        )
    read_bytes = Path.read_bytes

    def read_caches_only(path: Path) -> bytes:
        assert path.suffix == ".json", f"{path} was read"
        return read_bytes(path)

    monkeypatch.setattr("bob.datasets.content.digests.Path.read_bytes", read_caches_only)
    monkeypatch.setattr("bob.datasets.readers.tables.image_content", fail)


def save_pixels(path: Path, pixels: NDArray[np.generic]) -> None:
    """Write pixels (H, W) or (H, W, 3) to an image file, in a new folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
