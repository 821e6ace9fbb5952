"""Shared fixtures: small folders of images, and the command line run in this process on folders of its own."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ["HF_HUB_OFFLINE"] = "1"  # before any library reads it: no test may reach for a hub

FLOORS = "channel_statistics,raw_pixels"
"""Backbones that load in no time and need no weights."""


def make_photos(folder: Path, per_class: int = 20, classes: int = 3, side_px: int = 24) -> Path:
    """Class folders of noise around a colour of the class's own: a task that any backbone solves better than chance."""
    rng = np.random.default_rng(0)
    colours = rng.integers(60, 200, (classes, 3))
    for c in range(classes):
        (folder / f"class{c}").mkdir(parents=True)
        for i in range(per_class):
            pixels = np.clip(
                rng.normal(colours[c], 60, (side_px, side_px + i % 7, 3)), 0, 255
            ).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class{c}" / f"{i:03d}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


@pytest.fixture
def bob(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`bob("run", "--data", ...)` → exit code, stdout, stderr; results and cache are folders of the test's own."""
    from bob.cli import main

    def call(*words: str) -> tuple[int, str, str]:
        places = ["--results", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
        capfd.readouterr()
        code = main([*map(str, words), *places])
        out, err = capfd.readouterr()
        return code, out, err

    return call
