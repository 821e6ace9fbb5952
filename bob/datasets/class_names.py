"""Class names that a data set's own files do not carry: given in its entry, or one of the lists in `tasks/classes`.

The lists `imagenet_1k`, `imagenet_a`, `imagenet_r`, `imagenet_o` hold WordNet ids in the order of the sets' labels. Since classes of a family are
matched by name, they are also its class masks: the 200 of the 1,000 classes that ImageNet-A, -R and -O have.
"""

from collections.abc import Sequence

from bob.datasets.listing import Listing
from bob.errors import ConfigError, DatasetError, nearest
from bob.io.paths import shipped


def class_list(name: str) -> tuple[str, ...]:
    """One of the lists in `tasks/classes`, a name on each line."""
    folder = shipped("tasks") / "classes"
    known = sorted(path.stem for path in folder.glob("*.txt"))
    if name not in known:
        raise ConfigError(
            f"there is no list of classes {name!r}{nearest(name, known)} Known: {', '.join(known)}."
        )
    return tuple((folder / f"{name}.txt").read_text(encoding="utf-8").split("\n")[:-1])


def named(labels: Sequence[str], names: Sequence[str], found: Listing) -> list[str]:
    """Labels that are whole numbers as the names at these places; others must be among the names."""
    known = set(names)
    if strange := sorted(
        {
            label
            for label in labels
            if label not in known and not (label.isdecimal() and int(label) < len(names))
        }
    ):
        raise DatasetError(
            f"{found.where}: the label {strange[0]!r} is neither one of the {len(names)} class names nor the place of one."
        )
    return [label if label in known else names[int(label)] for label in labels]


def distinct(names: Sequence[str]) -> list[str]:
    """Names that occur twice (ImageNet has two classes 'missile') with their places: 'missile (657)'."""
    seen: set[str] = set()
    doubled: set[str] = set()
    for name in names:
        (doubled if name in seen else seen).add(name)
    return [f"{name} ({c})" if name in doubled else name for c, name in enumerate(names)]
