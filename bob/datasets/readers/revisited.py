"""Landmark retrieval with judgements in a file: Revisited Oxford and Paris, INSTRE, and similar.

Revisited Oxford and Paris: Radenovic et al. 2018, arXiv:1803.11285.

The ground truth names Q queries (`qimlist`), G gallery images (`imlist`), and for each query a box
in its image (`bbx`: left, upper, right, lower) and the gallery positions at each level: `easy`,
`hard`, `junk`, or `ok`. Queries are cropped to their boxes, as in the official evaluation
(github.com/filipradenovic/revisitop). The protocol decides which levels count as positive (easy:
easy; medium: easy and hard; hard: hard).
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bob.datasets.content.digests import content_digest, file_digests, read_file
from bob.datasets.content.images import MAX_PIXELS, decode
from bob.datasets.content.planned import planned_reader
from bob.datasets.content.sequences import Digests, concatenate
from bob.datasets.content.traits import Trait
from bob.datasets.listing import ImageListing
from bob.datasets.readers.plain_pickle import load_plain_pickle
from bob.errors import DatasetError, UnreadableImageError, first_line
from bob.io.git_lfs import is_pointer, pointer_message
from bob.specs import RevisitedSource

LEVELS = {"easy": "easy", "hard": "hard", "junk": "junk", "ok": "positive"}
"""Level in the ground truth → level in `Judgements`."""
Box = tuple[int, int, int, int]


def list_revisited(source: RevisitedSource, folder: Path, cache: Path) -> ImageListing:
    """List the queries, then the gallery."""
    truth = _load_ground_truth(folder / source.ground_truth)
    where = f"ground truth '{folder / source.ground_truth}'"
    try:
        queries = [str(name) for name in truth["qimlist"]]
        gallery = [str(name) for name in truth["imlist"]]
        boxes = [_box(query["bbx"]) if "bbx" in query else None for query in truth["gnd"]]
        levels = [level for level in LEVELS if any(level in query for query in truth["gnd"])]
        judgements = {
            LEVELS[level]: [_positions(query.get(level, ())) for query in truth["gnd"]]
            for level in levels
        }
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DatasetError(
            f"{where}: must contain imlist, qimlist and gnd with bbx, easy, hard, junk or ok "
            f"({type(error).__name__}: {error})."
        ) from error
    _check(queries, gallery, judgements, where)
    files = [
        folder / name if Path(name).suffix else folder / f"{name}{source.extension}"
        for name in (*queries, *gallery)
    ]
    content = file_digests(folder, files, cache)
    read_whole = planned_reader(lambda i: read_file(files[i]), content, [*map(str, files)])

    def read(i: int) -> bytes:
        data = read_whole(i)
        box = boxes[i] if i < len(queries) else None
        return data if box is None else _crop(data, box, files[i].name)

    query_content = Digests.of(
        (
            content_digest(f"{content[i]} {box}".encode()) if box else content[i]
            for i, box in enumerate(boxes)
        ),
        (
            int(content.traits[i]) & ~int(Trait.ALPHA) if box else int(content.traits[i])
            for i, box in enumerate(boxes)
        ),
    )
    gallery_content = content.take(np.arange(len(queries), len(files)))
    return ImageListing(
        where=where,
        ids=[*(f"query/{name}" for name in queries), *(f"gallery/{name}" for name in gallery)],
        content=concatenate([query_content, gallery_content]),
        read=read,
        is_derived=True,
        splits=["query" if i < len(queries) else "gallery" for i in range(len(files))],
        judgements=judgements,
    )


def _load_ground_truth(path: Path) -> Mapping[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"ground truth '{path}' cannot be read ({error.strerror}).") from error
    if is_pointer(data):
        raise DatasetError(f"ground truth {pointer_message(path)}")
    if path.suffix == ".json":
        try:
            values: Mapping[str, Any] = json.loads(data)
        except ValueError as error:
            raise DatasetError(f"ground truth '{path}': not valid JSON ({error}).") from error
    elif path.suffix == ".mat":
        from scipy.io import loadmat

        try:
            values = loadmat(io.BytesIO(data), simplify_cells=True)
        except Exception as error:  # on damaged data, its parser raises nearly anything
            raise DatasetError(
                f"ground truth '{path}': not a MATLAB file ({first_line(error)})."
            ) from error
    else:
        values = load_plain_pickle(data, f"ground truth '{path}'")
    return values


def _box(values: Sequence[float]) -> Box:
    """Round a box to whole pixels, as PIL's crop does. ValueError where it is empty or huge."""
    left, upper, right, lower = (round(float(value)) for value in values)
    if not (left < right and upper < lower and (right - left) * (lower - upper) <= MAX_PIXELS):
        raise ValueError(f"a box from ({left}, {upper}) to ({right}, {lower})")
    return left, upper, right, lower


def _positions(values: Any) -> tuple[int, ...]:
    """Return gallery positions; `.mat` files store a single one as a number, not as a list."""
    return tuple(int(value) for value in np.atleast_1d(values))


def _check(
    queries: Sequence[str],
    gallery: Sequence[str],
    judgements: Mapping[str, Sequence[tuple[int, ...]]],
    where: str,
) -> None:
    if not judgements:
        raise DatasetError(f"{where}: no judgements; gnd must hold one of {', '.join(LEVELS)}.")
    for level, rows in judgements.items():
        if len(rows) != len(queries):
            raise DatasetError(
                f"{where}: gnd must hold one entry per query; got {len(rows)} entries for "
                f"{len(queries)} queries."
            )
        if outside := [
            position for row in rows for position in row if not 0 <= position < len(gallery)
        ]:
            raise DatasetError(
                f"{where}: {level!r} names the gallery position {outside[0]}; positions of the "
                f"{len(gallery)} images run from 0 to {len(gallery) - 1}."
            )


def _crop(data: bytes, box: Box, name: str) -> bytes:
    """Return the image inside the box as a PNG."""
    buffer = io.BytesIO()
    whole = decode(data, name)
    left, upper, right, lower = box
    if left >= whole.width or upper >= whole.height or right <= 0 or lower <= 0:
        raise UnreadableImageError(
            f"image {name!r} is {whole.width} x {whole.height} px: the box of its query, from "
            f"({left}, {upper}) to ({right}, {lower}), lies outside. Correct the ground truth."
        )
    image: Image.Image = whole.crop(box)
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
