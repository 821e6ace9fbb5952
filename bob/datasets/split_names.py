"""Names that people give to splits: `train`, `Test`, `training_set`, `seg_train`, `val2017`.

A name is read as words. One of them may name a split (`train`), a set whose use is unclear (`eval`,
`holdout`), or images without labels (`unlabeled`). Words such as `set` or `images` and numbers add
nothing; what remains is the name's rest (`seg`), which all splits of a dataset share.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bob.errors import DatasetError, nearest
from bob.specs import Role

SPLIT_NAMES: Mapping[str, Role] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Common names of splits → split."""
ROLES: tuple[Role, ...] = ("train", "val", "test")
Use = Role | Literal["unclear", "unlabelled"]
"""What a name says of a set of images."""
_USES: Mapping[str, Use] = {
    **SPLIT_NAMES,
    "trn": "train",
    "trainval": "train",
    "validate": "val",
    "development": "val",
    "tst": "test",
    "eval": "unclear",
    "evaluation": "unclear",
    "holdout": "unclear",
    "heldout": "unclear",
    "unlabeled": "unlabelled",
    "unlabelled": "unlabelled",
    "unsupervised": "unlabelled",
    "unsup": "unlabelled",
    "nolabel": "unlabelled",
    "nolabels": "unlabelled",
    "pred": "unlabelled",
    "predict": "unlabelled",
    "prediction": "unlabelled",
    "predictions": "unlabelled",
}
_FILLERS_TEXT = (
    "data dataset datasets dir files folder folders image images img imgs photos pictures sample "
    "samples set sets split splits subset"
)
_FILLERS = frozenset(_FILLERS_TEXT.split())
"""Words that may stand beside the name of a split without a meaning of their own."""
_WORD = re.compile(r"[^\W\d_]+")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TWO_WORDS = {
    ("hold", "out"): "holdout",
    ("held", "out"): "heldout",
    ("no", "label"): "nolabel",
    ("no", "labels"): "nolabels",
    ("not", "labeled"): "unlabeled",
    ("not", "labelled"): "unlabelled",
    ("un", "labeled"): "unlabeled",
    ("un", "labelled"): "unlabelled",
    ("train", "val"): "trainval",
}


@dataclass(frozen=True)
class SplitName:
    """What a name says of a set of images."""

    use: Use
    rest: tuple[str, ...] = ()
    """The words that remain, such as `seg` of `seg_train`; empty where the name says nothing
    else."""


def parse_split_name(name: str) -> SplitName | None:
    """Return what a name says; None where it names no split, or two different ones.

    Images without labels stay so in whatever split: `test_unlabeled`.
    """
    words = _words(name)
    uses = _uses(words)
    if "unlabelled" in uses:
        use: Use = "unlabelled"
    elif len(uses) == 1:
        (use,) = uses
    else:
        return None
    return SplitName(use, tuple(word for word in words if word not in {*_USES, *_FILLERS}))


def plain_split_name(name: str) -> Use | None:
    """Return the use that a name states if it says nothing else: that of `test_images`."""
    parsed = parse_split_name(name)
    return parsed.use if parsed is not None and not parsed.rest else None


def splits_of_others(names: Sequence[str]) -> list[str]:
    """Return the names that add a split to another of the names: `dog_test` beside `dog`.

    `train` beside other words is rather a word for a class: `train_station`.
    """
    others = {tuple(_words(name)) for name in names}
    parsed = {name: parse_split_name(name) for name in names}
    return [
        name
        for name, split in parsed.items()
        if split is not None and split.use != "train" and split.rest in others
    ]


def names_two_splits(name: str) -> bool:
    """Return whether a name holds words for different splits, such as `train_test`."""
    uses = _uses(_words(name))
    return len(uses) > 1 and "unlabelled" not in uses


@dataclass(frozen=True)
class SplitChoice:
    """How names of splits become splits, where the user may choose the one to test on."""

    test_split: str | None = None
    """Name of the split that serves as the test split; None is the one called so."""

    def use(self, name: str) -> Use | Literal["unused"] | None:
        """Return the use of a split by its name, whatever the name says besides; None for others.

        `unused` is the test split of a dataset where another one is to be tested on.
        """
        parsed = parse_split_name(name)
        if self.chooses(name):
            return "test"
        if parsed is None:
            return None
        return "unused" if parsed.use == "test" and self.test_split is not None else parsed.use

    def chooses(self, name: str) -> bool:
        """Return whether `test_split` means the split of this name."""
        if self.test_split is None:
            return False
        wanted, parsed = plain_split_name(self.test_split), parse_split_name(name)
        same_split = parsed is not None and wanted == parsed.use and wanted in ROLES
        return same_split or name.strip().lower() == self.test_split.strip().lower()


def role_of_value(value: str, choice: SplitChoice, where: str) -> Role | None:
    """Return the split of an example from a value of a column `split`; None if it is not read.

    DatasetError, beginning with `where`, for other values, and for sets of unclear use.
    """
    if plain_split_name(value) is None and not choice.chooses(value):
        raise DatasetError(
            f"{where}: unknown split {value!r}{nearest(value, list(SPLIT_NAMES))} "
            f"Known splits: {', '.join(SPLIT_NAMES)}."
        )
    use = choice.use(value)
    if use == "unclear":
        raise DatasetError(
            f"{where}: the split {value!r} may hold val or test images. Write 'val' or 'test', or "
            f"test on it with `--test-split {value}`."
        )
    return None if use == "unused" or use == "unlabelled" else use


def _words(name: str) -> Sequence[str]:
    """Return the words of a name in lower case, with compounds in parts or in one piece."""
    spaced = _CAPITAL.sub(" ", name)
    parts = [part for word in _WORD.findall(spaced.lower()) for part in _parts(word)]
    words: list[str] = []
    for part in parts:
        joined = _TWO_WORDS.get((words[-1], part)) if words else None
        words[-1:] = [joined] if joined else [*words[-1:], part]
    return words


def _parts(word: str) -> tuple[str, ...]:
    """Divide `trainset` into `train` and `set`; other words are returned as they are."""
    for name in _USES:
        if word.startswith(name) and word.removeprefix(name) in _FILLERS:
            return name, word.removeprefix(name)
    return (word,)


def _uses(words: Sequence[str]) -> set[Use]:
    return {_USES[word] for word in words if word in _USES}
