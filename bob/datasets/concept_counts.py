"""How often classes occur in a pretraining corpus: JSON files of class name → count.

The layout is that of the search counts published with "No zero-shot without exponential data"
(Udandarao et al. 2024, arXiv:2404.04125; github.com/bethgelab/frequency_determines_performance,
`search_counts/`), so that their files are read as they are: {"car_side": 235, "anchor": 14410}.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bob.datasets.class_names import spoken_names
from bob.errors import DatasetError
from bob.numerics.arrays import Ints

APART = {"n04008634": "projectile", "n04355933": "sunglass"}
"""ImageNet's classes whose names OpenAI repeats, with those of the published counts."""
UNKNOWN = -1
"""Count of a class that the file does not name."""


def read_concept_counts(path: Path, classes: Sequence[str], where: str) -> Ints:
    """Return the count (C,) of each class, UNKNOWN for those that the file does not name.

    Names are compared without case, and `_`, `-` and spaces are the same; ImageNet's WordNet ids
    have the names by which the published counts know them. DatasetError, beginning
    with `where`, for a file that cannot be read, for other contents, or where no class is named.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{where}: {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:  # of JSON, or of UTF-8
        raise DatasetError(f"{where}: {path} is no JSON ({error}).") from error
    if not isinstance(values, dict):
        raise DatasetError(
            f"{where}: {path} must hold an object of class name → count; got a "
            f"{type(values).__name__}."
        )
    counts: dict[str, int] = {}
    for name, count in values.items():
        if type(count) is not int or count < 0:  # True is an int
            raise DatasetError(
                f"{where}: {path}: the count of {name!r} must be a whole number ≥ 0; got {count!r}."
            )
        if counts.setdefault(_plain(name), count) != count:
            raise DatasetError(f"{where}: {path} has two counts of {name!r}, spelled differently.")
    known_as = [
        APART.get(label[:9], name)
        for label, name in zip(classes, spoken_names(classes), strict=True)
    ]
    found = np.array([counts.get(_plain(name), UNKNOWN) for name in known_as], np.int64)
    if (found == UNKNOWN).all():
        raise DatasetError(
            f"{where}: {path} names none of the classes, such as {classes[0]!r}; its first name is "
            f"{next(iter(values), None)!r}."
        )
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
