"""Landmark retrieval with judgements in a file: Revisited Oxford and Paris (Radenovic et al. 2018, arXiv:1803.11285), INSTRE, and the like.

The ground truth names Q queries (`qimlist`), G gallery images (`imlist`) and for each query a box in its image (`bbx`: left, upper, right, lower) and
the gallery positions of each level: `easy`, `hard`, `junk`, or `ok`. Queries are cropped to their boxes, as in the official evaluation
(github.com/filipradenovic/revisitop); which levels count as positive is the protocol's matter (easy: easy; medium: easy and hard; hard: hard).
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bob.datasets.content.digests import content_digest, file_digests, read_file
from bob.datasets.content.images import decode
from bob.datasets.content.sequences import Digests, concatenate
from bob.datasets.listing import ImageListing
from bob.datasets.readers.plain_pickle import load_plain
from bob.errors import DatasetError
from bob.specs import RevisitedSource

LEVELS = {"easy": "easy", "hard": "hard", "junk": "junk", "ok": "positive"}
"""Their names of the levels, and ours."""
Box = tuple[int, int, int, int]


def list_revisited(source: RevisitedSource, folder: Path, cache: Path) -> ImageListing:
    """Queries, then the gallery."""
    truth = _ground_truth(folder / source.ground_truth)
    where = f"ground truth '{folder / source.ground_truth}'"
    try:
        queries, gallery = (
            [str(name) for name in truth["qimlist"]],
            [str(name) for name in truth["imlist"]],
        )
        boxes = [_box(about["bbx"]) if "bbx" in about else None for about in truth["gnd"]]
        levels = [level for level in LEVELS if any(level in about for about in truth["gnd"])]
        judged = {
            LEVELS[level]: [_positions(about.get(level, ())) for about in truth["gnd"]]
            for level in levels
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{where}: must hold imlist, qimlist and gnd with bbx, easy, hard, junk or ok ({type(error).__name__}: {error})."
        ) from error
    _check(queries, gallery, judged, where)
    files = [
        folder / name if Path(name).suffix else folder / f"{name}{source.extension}"
        for name in (*queries, *gallery)
    ]
    content = file_digests(folder, files, cache)

    def read(i: int) -> bytes:
        data = read_file(files[i])
        box = boxes[i] if i < len(queries) else None
        return data if box is None else _cropped(data, box, files[i].name)

    boxed = Digests.of(
        content_digest(f"{content[i]} {box}".encode()) if box else content[i]
        for i, box in enumerate(boxes)
    )
    return ImageListing(
        where=where,
        ids=[*(f"query/{name}" for name in queries), *(f"gallery/{name}" for name in gallery)],
        content=concatenate([boxed, content.take(np.arange(len(queries), len(files)))]),
        read=read,
        splits=["query" if i < len(queries) else "gallery" for i in range(len(files))],
        judgements=judged,
    )


def _ground_truth(path: Path) -> Mapping[str, Any]:
    data = read_file(path)
    if path.suffix == ".json":
        try:
            values: Mapping[str, Any] = json.loads(data)
        except ValueError as error:
            raise DatasetError(f"ground truth '{path}': is no JSON ({error}).") from error
    elif path.suffix == ".mat":
        from scipy.io import loadmat

        values = loadmat(io.BytesIO(data), simplify_cells=True)
    else:
        values = load_plain(data, f"ground truth '{path}'")
    return values


def _box(values: Sequence[float]) -> Box:
    """Whole pixels, as PIL's crop rounds them."""
    left, upper, right, lower = (round(float(value)) for value in values)
    return left, upper, right, lower


def _positions(values: Any) -> tuple[int, ...]:
    """Of a single position, `.mat` files keep the number and not the list."""
    return tuple(int(value) for value in np.atleast_1d(values))


def _check(
    queries: Sequence[str],
    gallery: Sequence[str],
    judged: Mapping[str, Sequence[tuple[int, ...]]],
    where: str,
) -> None:
    if not judged:
        raise DatasetError(f"{where}: judges nothing: gnd has none of {', '.join(LEVELS)}.")
    for level, rows in judged.items():
        if len(rows) != len(queries):
            raise DatasetError(
                f"{where}: {len(rows)} rows of judgements for {len(queries)} queries."
            )
        if outside := [
            position for row in rows for position in row if not 0 <= position < len(gallery)
        ]:
            raise DatasetError(
                f"{where}: {level} names the gallery position {outside[0]}; there are {len(gallery)} images, from 0."
            )


def _cropped(data: bytes, box: Box, name: str) -> bytes:
    """The image inside the box as a PNG."""
    buffer = io.BytesIO()
    image: Image.Image = decode(data, name).crop(box)
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
