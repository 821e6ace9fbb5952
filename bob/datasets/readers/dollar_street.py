"""Dollar Street (Gaviria Rojas et al. 2022): photographs of household objects from many incomes.

The folder of MLCommons' archive:

    dataset_dollarstreet/images_v2_imagenet_train.csv
    dataset_dollarstreet/images_v2_imagenet_test.csv
    dataset_dollarstreet/assets/...

Both tables have a row per image, with the columns imageRelPath (relative to the folder), topics and
income (US dollars per month and adult), region.id and country.name, among others. Topics are a list
as text, `["Stoves", "Kitchens"]`: the only one is the class, and images of several are left out.
Attributes are the region, the country and the quarter of income, from 1 (the poorest) to 4, over
the images of both tables.
"""

import ast
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.listing import ImageListing
from bob.datasets.readers.csv_rows import csv_rows
from bob.errors import DatasetError
from bob.io.names import printable
from bob.specs import Role

TABLES: dict[Role, str] = {
    "train": "images_v2_imagenet_train.csv",
    "test": "images_v2_imagenet_test.csv",
}
_COLUMNS = ("imageRelPath", "topics", "income", "region.id", "country.name")


def list_dollar_street(root: Path, cache: Path) -> ImageListing:
    """List the images of one topic. DatasetError where a table or an image is missing."""
    where, several = f"folder '{printable(str(root))}'", 0
    rows: list[dict[str, str]] = []
    labels: list[str] = []
    splits: list[Role] = []
    for split, name in TABLES.items():
        for number, row in enumerate(csv_rows(root / name, _COLUMNS), start=2):
            topics = _topics(row["topics"], f"{where}: {name}, line {number}")
            if len(topics) != 1:
                several += 1
                continue
            rows.append(row)
            labels.append(topics[0])
            splits.append(split)
    files = [root / row["imageRelPath"] for row in rows]
    if missing := [path for path in files if not path.is_file()]:
        path = printable(str(missing[0]))
        raise DatasetError(f"{where}: a table names '{path}', which does not exist.")
    return ImageListing(
        where=where,
        ids=[printable(row["imageRelPath"]) for row in rows],
        content=file_digests(root, files, cache),
        read=lambda i: read_file(files[i]),
        splits=splits,
        labels=labels,
        attributes={
            "income": _quarters([row["income"] for row in rows], where),
            "region": [row["region.id"] for row in rows],
            "country": [row["country.name"] for row in rows],
        },
        unread=Counter({"images of no or several topics": several} if several else {}),
    )


def _topics(text: str, where: str) -> list[str]:
    """Return the topics of a cell, a list of text in Python's or JSON's notation."""
    try:
        topics = ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise DatasetError(f"{where}: topics must be a list of text; got {text!r}.") from error
    if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
        raise DatasetError(f"{where}: topics must be a list of text; got {text!r}.")
    return topics


def _quarters(incomes: Sequence[str], where: str) -> list[str]:
    """Return the quarter of each income, 1 to 4; equal incomes are in one quarter."""
    try:
        values = np.array([float(income) for income in incomes])
    except ValueError as error:
        raise DatasetError(f"{where}: incomes must be numbers ({error}).") from error
    if not len(values):
        raise DatasetError(f"{where}: no image has a single topic.")
    borders = np.quantile(values, (0.25, 0.5, 0.75))
    return [str(1 + quarter) for quarter in np.searchsorted(borders, values).tolist()]
