"""The sample datasets, which install from the package index: `pip install 'bob-bench[samples]'`.

Their test split is documented and does not change: the automatic rule (`bob.datasets.splits`) with
share 0.25 and seed 0, applied to the packages' own files.

* elpv: electroluminescence photographs of solar cells (Deitsch et al. 2019, arXiv:1807.02894),
  defective if the experts' probability is over 0.5.
* openmoji: emoji drawings by category, rendered on white at 256 px, in colour or as line art; by
  default in colour and without skin-tone variants.
* openmoji_clips: two drawings that move over a textured ground, with their masks in each frame.
* openmoji_objects: one drawing on a textured ground, with its box.
* openmoji_pairs: two images of a drawing each, one of them warped, with points that correspond.
* openmoji_scenes: several drawings on a background, with the category of every pixel.
* openmoji_depth: drawings that stand on a ground, with the depth and the category of every pixel.
* textiles: simulated images of woven textile without a defect (nominal), with a local one, and with
  a global one (Megahed et al. 2025, arXiv:2501.12596).
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bob.datasets.availability import SAMPLE_FILES, missing_packages
from bob.datasets.content.digests import content_digest, file_digests, read_file
from bob.datasets.content.planned import planned_reader
from bob.datasets.content.sequences import Digests
from bob.datasets.listing import ImageListing
from bob.datasets.readers.clips import list_clips
from bob.datasets.readers.ground_scenes import list_ground_scenes
from bob.datasets.readers.object_scenes import list_object_scenes
from bob.datasets.readers.openmoji import render, renderer, variants
from bob.datasets.readers.scenes import list_scenes
from bob.datasets.readers.warped_pairs import list_warped_pairs
from bob.errors import UnavailableError
from bob.io.paths import in_package
from bob.specs import SampleSource

TEST_SHARE = 0.25
"""Share of each class in the documented test split."""
DEFECT_PROBABILITY = 0.5
"""Cells with a higher probability count as defective, as in the paper; it is 0, 1/3, 2/3 or 1."""

COMPOSED = {
    "openmoji_clips": list_clips,
    "openmoji_depth": list_ground_scenes,
    "openmoji_objects": list_object_scenes,
    "openmoji_pairs": list_warped_pairs,
    "openmoji_scenes": list_scenes,
}
"""Samples that are composed of openmoji drawings, in one style."""


def list_sample(name: str, source: SampleSource, cache: Path) -> ImageListing:
    """List the images of a sample, whose automatic split is documented."""
    if missing := missing_packages(source):
        raise UnavailableError(f"dataset {name!r}: {missing}")
    paths = [in_package(distribution, file) for distribution, file in SAMPLE_FILES[source.reader]]
    existing = [path for path in paths if path]
    if source.reader in COMPOSED:
        return COMPOSED[source.reader](existing[0], existing[1], cache, source.styles[0])
    listing = (
        _openmoji(existing, cache, source)
        if source.reader == "openmoji"
        else {"elpv": _elpv, "textiles": _textiles}[source.reader](existing, cache)
    )
    return dataclasses.replace(listing, automatic_kind="documented", test_share=TEST_SHARE)


def _elpv(paths: list[Path], cache: Path) -> ImageListing:
    """List the rows of labels.csv.

    They hold image path, probability of a defect and cell type (mono- or polycrystalline),
    separated by blanks.
    """
    rows = [line.split() for line in paths[0].read_text(encoding="utf-8").splitlines()]
    files = [paths[0].parent / path for path, _, _ in rows]
    return ImageListing(
        where="sample elpv",
        ids=[path for path, _, _ in rows],
        labels=[
            "defective" if float(probability) > DEFECT_PROBABILITY else "functional"
            for _, probability, _ in rows
        ],
        content=file_digests(paths[0].parent, files, cache),
        read=lambda i: read_file(files[i]),
        splits=["train"] * len(rows),
        classes=("functional", "defective"),
        attributes={
            "cell_type": [cell_type for _, _, cell_type in rows],
            "defect_probability": [probability for _, probability, _ in rows],
        },
    )


def _textiles(paths: list[Path], cache: Path) -> ImageListing:
    """List the JPEGs of the class folders."""
    classes = ("nominal", "local", "global")
    files = [path for label in classes for path in sorted((paths[0] / label).glob("*.jpg"))]
    return ImageListing(
        where="sample textiles",
        ids=[path.relative_to(paths[0]).as_posix() for path in files],
        labels=[path.parent.name for path in files],
        content=file_digests(paths[0], files, cache),
        read=lambda i: read_file(files[i]),
        splits=["train"] * len(files),
        classes=classes,
    )


def _openmoji(paths: list[Path], cache: Path, source: SampleSource) -> ImageListing:
    """List drawings by emoji category.

    The split depends on the SVG files alone, so that another version of the renderer keeps it.
    """
    svg, table, _ = paths
    drawings = [
        drawing
        for entry in json.loads(table.read_text(encoding="utf-8"))
        for drawing in variants(entry, svg, source)
    ]
    entries = [drawing.entry for drawing in drawings]
    files = [drawing.svg for drawing in drawings]
    svg_digests = file_digests(svg, files, cache)
    read_svg = planned_reader(lambda i: read_file(files[i]), svg_digests, [*map(str, files)])
    codes = [str(entry["unified"]) for entry in entries]
    return ImageListing(
        where="sample openmoji",
        ids=[
            f"{drawing.svg.stem} {drawing.entry['name']}{' (line)' * (drawing.style == 'line')}"
            for drawing in drawings
        ],
        labels=[entry["category"] for entry in entries],
        content=Digests.of(
            (
                content_digest(f"{digest} {renderer(drawing.style)}".encode())
                for digest, drawing in zip(svg_digests, drawings, strict=True)
            ),
            (0 for _ in drawings),
        ),
        read=lambda i: render(read_svg(i), drawings[i].style),
        is_derived=True,
        splits=["train"] * len(drawings),
        groups=codes if len(source.styles) > 1 or source.skin_tones else None,
        attributes={
            "name": [str(entry["name"]) for entry in entries],
            "emoji": codes,
            "category": [str(entry["category"]) for entry in entries],
            "subcategory": [str(entry["subcategory"]) for entry in entries],
            "style": [drawing.style for drawing in drawings],
            "skin_tone": [drawing.tone for drawing in drawings],
        },
        captions=[_captions(entry) for entry in entries],
        split_content=svg_digests,
    )


def _captions(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the name in lower case, and the short names that differ from it."""
    names = [
        str(entry["name"]).lower(),
        *(str(name).replace("_", " ").replace("-", " ") for name in entry["short_names"]),
    ]
    return tuple(dict.fromkeys(names))
