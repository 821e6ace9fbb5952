"""Class names that a dataset's files lack: from its registry entry or a list in `tasks/classes`.

The lists `imagenet_1k`, `imagenet_a`, `imagenet_r` and `imagenet_o` hold WordNet ids in the order
of the datasets' labels. Because the classes of a family are matched by name, these lists also serve
as class masks: the 200 of the 1,000 classes that ImageNet-A, -R and -O contain.
"""

import re
from collections.abc import Sequence

from bob.datasets.listing import ImageListing
from bob.errors import ConfigError, DatasetError, nearest
from bob.io.paths import shipped

IMAGENET = "imagenet_1k"
"""The list of class names that holds ImageNet's WordNet ids."""
NUMBERED = re.compile(r"\d+[. ](?P<name>\D.*)")
"""A folder's name that begins with the number of its class: `001.Black_footed_Albatross`."""
WORDNET_ID = re.compile(r"n\d{8}( \(\d+\))?")


def class_list(name: str) -> tuple[str, ...]:
    """Return the class names in `tasks/classes/NAME.txt`, which lists one per line."""
    folder = shipped("tasks") / "classes"
    available = sorted(path.stem for path in folder.glob("*.txt"))
    if name not in available:
        raise ConfigError(
            f"unknown list of class names {name!r}{nearest(name, available)} "
            f"Available lists: {', '.join(available)}."
        )
    return tuple((folder / f"{name}.txt").read_text(encoding="utf-8").split("\n")[:-1])


def to_class_names(labels: Sequence[str], names: Sequence[str], listing: ImageListing) -> list[str]:
    """Map labels that are indices into `names` to names; other labels must be names already."""
    valid = set(names)
    invalid = sorted(
        {
            label
            for label in labels
            if label not in valid and not (label.isdecimal() and int(label) < len(names))
        }
    )
    if invalid:
        raise DatasetError(
            f"{listing.where}: label {invalid[0]!r} is neither one of the {len(names)} class names "
            f"nor an index from 0 to {len(names) - 1}."
        )
    return [label if label in valid else names[int(label)] for label in labels]


def distinct(names: Sequence[str]) -> list[str]:
    """Append the index to names that occur twice: 'missile (657)'.

    ImageNet has two classes called 'missile'.
    """
    seen: set[str] = set()
    repeated: set[str] = set()
    for name in names:
        (repeated if name in seen else seen).add(name)
    return [f"{name} ({c})" if name in repeated else name for c, name in enumerate(names)]


def spoken_names(classes: Sequence[str]) -> list[str]:
    """Return the name of each class as a sentence uses it: of ImageNet's WordNet ids OpenAI's.

    Numbers that all names begin with are left out, where the rest differs.
    """
    if not classes or not all(WORDNET_ID.fullmatch(name) for name in classes):
        return [name.replace("_", " ") for name in _without_numbers(classes)]
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    place = {name: c for c, name in enumerate(class_list(IMAGENET))}
    if unknown := [name for name in classes if name[:9] not in place]:
        raise DatasetError(
            f"the class {unknown[0]!r} is a WordNet id that is not one of ImageNet's {len(place)}: "
            "give class names that can be used in a sentence."
        )
    return [IMAGENET_CLASSNAMES[place[name[:9]]] for name in classes]


def _without_numbers(classes: Sequence[str]) -> Sequence[str]:
    matches = [NUMBERED.fullmatch(name) for name in classes]
    names = [match["name"] for match in matches if match]
    return names if len(set(names)) == len(classes) else classes
