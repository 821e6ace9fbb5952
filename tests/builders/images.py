"""Images and folders made on the spot, shared by the tests of datasets."""

import importlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


def png(shade: int) -> bytes:
    """A grey PNG; every shade is another image."""
    buffer = io.BytesIO()
    Image.new("L", (4, 3), shade % 256).resize((4 + shade // 256, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(root: Path, **counts: int) -> Path:
    """Class folders with so many distinct images each; `train__cat=3` is train/cat."""
    for n, (name, count) in enumerate(counts.items()):
        folder = root / name.replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (folder / f"{i}.png").write_bytes(png(20 * n + i))
    return root


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, an image that is hashed or read fails the test."""

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
    monkeypatch.setattr("bob.datasets.content.digests.Path.read_bytes", guarded(Path.read_bytes))
    monkeypatch.setattr("bob.datasets.readers.tables.content_digest", fail)


def guarded(read: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    def only_memories(path: Path) -> bytes:
        assert path.suffix == ".json", f"{path} was read"
        return read(path)

    return only_memories
