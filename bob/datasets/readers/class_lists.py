"""Images whose paths, classes and splits are in four lists, as CUB-200-2011 and NABirds have them.

    nabirds/images.txt               IMAGE path, below the folder `images`
    nabirds/image_class_labels.txt   IMAGE CLASS
    nabirds/train_test_split.txt     IMAGE 1 for train, 0 for test
    nabirds/classes.txt              CLASS name

IMAGE and CLASS are ids without spaces. NABirds' list of classes (Van Horn et al. 2015) also holds
the inner nodes of its hierarchy, which no image has: only classes of images count, in the order of
their ids. Where two of them have one name, the id follows it.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.listing import ImageListing, natural_key
from bob.errors import DatasetError
from bob.io.names import printable
from bob.specs import Role

_SPLITS: Mapping[str, Role] = {"1": "train", "0": "test"}


def list_class_lists(root: Path, cache: Path) -> ImageListing:
    """List the images in the order of `images.txt`.

    DatasetError where a list or an image is missing, or where an image is in some lists only.
    """
    where = f"folder '{printable(str(root))}'"
    paths, labels, splits, names = (
        _read_list(root / f"{name}.txt")
        for name in ("images", "image_class_labels", "train_test_split", "classes")
    )
    for name, of_images in (("image_class_labels", labels), ("train_test_split", splits)):
        _require_equal_ids(where, name, paths, of_images)
    for image, split in splits.items():
        if split not in _SPLITS:
            raise DatasetError(
                f"{where}: train_test_split.txt: image {image!r} must have 1 or 0; got {split!r}."
            )
    classes = _class_names(where, labels, names)
    files = [root / "images" / path for path in paths.values()]
    if missing := [path for path in files if not path.is_file()]:
        path = printable(str(missing[0]))
        raise DatasetError(f"{where}: images.txt names '{path}', which does not exist.")
    return ImageListing(
        where=where,
        ids=[printable(f"images/{path}") for path in paths.values()],
        content=file_digests(root, files, cache),
        read=lambda i: read_file(files[i]),
        splits=[_SPLITS[splits[image]] for image in paths],
        labels=[classes[labels[image]] for image in paths],
        classes=[*classes.values()],
    )


def _read_list(path: Path) -> dict[str, str]:
    """Return the rest of each line by its first word; DatasetError for a word that is repeated."""
    shown = f"'{printable(str(path))}'"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{shown}: cannot be read ({error}).") from error
    entries: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, *rest = line.split(maxsplit=1)
        if not rest or key in entries:
            problem = "repeats an id" if rest else "needs an id and a value"
            raise DatasetError(f"{shown}, line {number}: {problem}; got {line!r}.")
        entries[key] = rest[0].strip()
    if not entries:
        raise DatasetError(f"{shown}: is empty.")
    return entries


def _require_equal_ids(
    where: str, name: str, paths: Mapping[str, str], others: Mapping[str, str]
) -> None:
    if differing := [*(paths.keys() ^ others.keys())]:
        raise DatasetError(
            f"{where}: image {min(differing)!r} is in only one of images.txt and {name}.txt."
        )


def _class_names(where: str, labels: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return the distinct names of the classes that images have, by id, in the order of ids."""
    used = sorted(set(labels.values()), key=natural_key)
    if unknown := [label for label in used if label not in names]:
        raise DatasetError(f"{where}: classes.txt has no class {unknown[0]!r}, which images have.")
    count = Counter(names[label] for label in used)
    return {
        label: names[label] if count[names[label]] == 1 else f"{names[label]} ({label})"
        for label in used
    }
