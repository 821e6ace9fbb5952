"""NIGHTS (Fu et al. 2023, arXiv:2306.09344): choices of the more similar of two images.

The folder of the official archive:

    nights/data.csv
    nights/ref/000/002.png
    nights/distort/000/002_0.png
    nights/distort/000/002_1.png

`data.csv` has a row per triplet, with the columns ref_path, left_path and right_path (relative to
the folder), right_vote (1 where people chose the right image, else 0), votes (how many people
agreed), split (train, val, test) and is_imagenet (whether the prompt is a class of ImageNet). Rows
with fewer than six votes are left out, as in the authors' code
(github.com/ssundaram21/dreamsim, `dataset/dataset.py`).

References are queries, in the order of rows, and the images to choose from are the gallery. The
judgements `chosen` and `other` hold one gallery image per query.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.listing import ImageListing
from bob.datasets.readers.csv_rows import csv_rows
from bob.errors import DatasetError
from bob.io.names import printable
from bob.specs import NightsSource, Role

TABLE = "data.csv"
LEAST_VOTES = 6
PROMPTS = "prompts"
"""Attribute of the references: what the images were generated for."""
_PATHS = ("ref_path", "left_path", "right_path")
_COLUMNS = (*_PATHS, "right_vote", "votes", "split", "is_imagenet")


@dataclass(frozen=True)
class _Triplet:
    """Paths of a reference and of two images, below the folder."""

    reference: str
    chosen: str
    other: str
    prompts: str


def list_nights(source: NightsSource, root: Path, cache: Path) -> ImageListing:
    """List the triplets of a split. DatasetError where the table or an image is missing."""
    where = f"folder '{printable(str(root))}'"
    unread: Counter[str] = Counter()
    triplets = _triplets(source, root / TABLE, unread)
    references = [triplet.reference for triplet in triplets]
    shown = list(dict.fromkeys(path for each in triplets for path in (each.chosen, each.other)))
    place = {path: i for i, path in enumerate(shown)}
    names = [*references, *shown]
    files = [root / name for name in names]
    if missing := [path for path in files if not path.is_file()]:
        path = printable(str(missing[0]))
        raise DatasetError(f"{where}: {TABLE} names '{path}', which does not exist.")
    roles: list[Role] = ["query" for _ in references]
    roles += ["gallery" for _ in shown]
    return ImageListing(
        where=where,
        ids=[f"{role}/{printable(name)}" for role, name in zip(roles, names, strict=True)],
        content=file_digests(root, files, cache),
        read=lambda i: read_file(files[i]),
        splits=roles,
        attributes={PROMPTS: [*(each.prompts for each in triplets), *("" for _ in shown)]},
        judgements={
            "chosen": [(place[each.chosen],) for each in triplets],
            "other": [(place[each.other],) for each in triplets],
        },
        unread=unread,
    )


def _triplets(source: NightsSource, table: Path, unread: Counter[str]) -> list[_Triplet]:
    """Return the triplets of the source's split with enough votes, in the order of rows."""
    shown = f"'{printable(str(table))}'"
    triplets: dict[str, _Triplet] = {}
    for number, row in enumerate(csv_rows(table, _COLUMNS), start=2):
        if row["split"] != source.split:
            continue
        where = f"{shown}, line {number}"
        if _whole_number(row["votes"], where) < LEAST_VOTES:
            unread[f"triplets with fewer than {LEAST_VOTES} votes"] += 1
            continue
        triplet = _triplet(row, where)
        if triplets.setdefault(triplet.reference, triplet) is not triplet:
            raise DatasetError(f"{where}: {triplet.reference!r} is the reference of another row.")
    if not triplets:
        raise DatasetError(f"{shown}: has no triplets of split {source.split!r}.")
    return [*triplets.values()]


def _triplet(row: Mapping[str, str], where: str) -> _Triplet:
    reference, left, right = (row[column] for column in _PATHS)
    if not (reference and left and right) or left == right:
        raise DatasetError(f"{where}: needs a reference and two images; got {dict(row)!r}.")
    vote = _whole_number(row["right_vote"], where)
    if vote not in (0, 1):
        raise DatasetError(f"{where}: right_vote must be 0 or 1; got {row['right_vote']!r}.")
    chosen, other = (right, left) if vote else (left, right)
    is_imagenet = row["is_imagenet"].lower() == "true"
    return _Triplet(reference, chosen, other, "imagenet" if is_imagenet else "other")


def _whole_number(text: str, where: str) -> int:
    """Return a number as `1` or `1.0`; DatasetError for others."""
    try:
        value = float(text)
        if value != int(value):
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{where}: votes must be whole numbers; got {text!r}.") from error
    return int(value)
