"""Labels that may not mean what they say: missing values, splits, and two spellings of one class.

Such labels can be right (wafers have the defect `none`), so that they are noted and not refused.
"""

import math
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bob.datasets.split_names import plain_split_name
from bob.errors import DatasetError

_MISSING = frozenset(
    ("nan", "none", "null", "na", "n/a", "nil", "nat", "<na>", "#n/a", "?", "-1", "undefined")
)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_SHOWN = 5


def looks_missing(label: str) -> bool:
    """Return whether a label is what programs write in place of a missing value."""
    return label.strip().lower() in _MISSING or not label.strip()


def looks_like_split(label: str) -> bool:
    """Return whether a label is the name of a split, such as `train` or `unlabeled`."""
    return plain_split_name(label) is not None


def same_classes(classes: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the sets of classes that differ in case, spaces, accents' encoding or number format.

    `1` and `1.0` are such a set; `a` and `A` are not, as the letters of handwriting are classes.
    """
    sets: dict[str, list[str]] = {}
    for label in classes:
        sets.setdefault(_spelling(label), []).append(label)
    return [tuple(labels) for labels in sets.values() if len(labels) > 1]


def label_notes(counts: Mapping[str, int]) -> list[str]:
    """Return notes on suspicious labels, from the number of images of each class.

    A class of pixels or boxes labels no image: a train that is to be found is no split.
    """
    notes = [
        f"{_images(n)} the label {label!r}, which looks like a missing value; remove them if they "
        "have no label"
        for label, n in counts.items()
        if n and looks_missing(label)
    ]
    notes += [
        f"{_images(n)} the label {label!r}, which is the name of a split"
        for label, n in counts.items()
        if n and looks_like_split(label)
    ]
    if same := same_classes(list(counts)):
        named = "; ".join(" and ".join(_told_apart(labels)) for labels in same[:_SHOWN])
        more = f"; and {len(same) - _SHOWN} more" if len(same) > _SHOWN else ""
        notes.append(
            "classes that may be one, as they differ in case, spaces, number format or Unicode "
            f"form only: {named}{more}"
        )
    return notes


def _told_apart(labels: Sequence[str]) -> list[str]:
    """Return labels in quotes, in ASCII where two of them look the same."""
    looks = {unicodedata.normalize("NFC", label) for label in labels}
    return [repr(label) if len(looks) == len(labels) else ascii(label) for label in labels]


def group_notes(groups: Sequence[str] | None) -> list[str]:
    """Return notes on groups (N,) that look like missing values, and so link unrelated images."""
    counts = Counter(groups or ())
    return [
        f"{n:,} images are in the group {group!r}, which looks like a missing value; as one group, "
        "they stay on one side of a split"
        for group, n in counts.items()
        if n > 1 and looks_missing(group)
    ]


def decode_texts(values: NDArray[np.bytes_], where: str) -> NDArray[np.str_]:
    """Return bytes (N,) in UTF-8 as text. DatasetError, beginning with `where`, for other bytes."""
    try:
        return np.char.decode(values, "utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{where}: bytes must be text in UTF-8; got {error.object!r}. Decode them before they "
            "are saved, such as by np.char.decode(values, 'latin-1')."
        ) from error


def require_characters(values: NDArray[np.str_], where: str) -> None:
    """Raise DatasetError, beginning with `where`, for text (N,) of numbers beyond Unicode's.

    NumPy reads any 32-bit number as a character, and Python fails where it meets one.
    """
    codes = np.ascontiguousarray(values).view(np.dtype("u4").newbyteorder(values.dtype.byteorder))
    if codes.size and codes.max() > sys.maxunicode:
        raise DatasetError(
            f"{where}: is damaged: it holds the number {codes.max():,} in place of a character. "
            "Copy or write it again."
        )


def number_text(value: float) -> str | None:
    """Return the label of a number, `1` for 1.0; None where it is not a whole number."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else None


def _spelling(label: str) -> str:
    text = unicodedata.normalize("NFKC", label).strip()
    if _NUMBER.fullmatch(text):
        return f"number {float(text)!r}"
    return " ".join(text.casefold().split()) if len(text) > 1 else text


def _images(n: int) -> str:
    return f"{n:,} image has" if n == 1 else f"{n:,} images have"
