"""A table of small images with attributes, of which tests know every row."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_table(folder: Path, rows: Sequence[Mapping[str, str]], name: str = "t.csv") -> Path:
    """Write an image per row, and the table of the rows with a column path; return the table.

    The colour of an image depends on its label and its number, so that any backbone separates
    classes and no two images are equal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for i, row in enumerate(rows):
        save_image(folder / f"{i:03d}.png", sum(map(ord, row.get("label", ""))), i)
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", *rows[0]])
        writer.writeheader()
        writer.writerows({"path": f"{i:03d}.png", **row} for i, row in enumerate(rows))
    return folder / name


def save_image(path: Path, colour: int, number: int) -> None:
    """Write an image of 8 x 8 pixels around a colour."""
    rng = np.random.default_rng(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (colour * 53 % 200 + rng.integers(0, 40, (8, 8, 3))).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def emoji_rows(
    vendors: Iterable[str] = ("apple", "google", "twitter"), emoji: int = 10
) -> list[dict[str, str]]:
    """Return a row per vendor and emoji; emoji alternate between the labels face and food."""
    return [
        {"label": ("face", "food")[e % 2], "vendor": vendor, "emoji": f"e{e}"}
        for vendor in vendors
        for e in range(emoji)
    ]
