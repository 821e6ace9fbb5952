"""Examples of a file that is its own dataset: labels and splits are those of the file.

An example is identified by its id: files with the same ids, labels, splits and groups hold the same
examples, in whatever order and format. Without ids it is identified by its position within its
split, under the name that the user gives to the dataset: whoever uses that name for another file
states that its rows are of the same examples in the same order. Neither can be mistaken for an
image, whose digest is of its bytes; only where the file holds these digests (`content`, as
bob-bench exports them), in the order of the images, are its examples those images.
"""

from collections.abc import Iterable, Sequence

import xxhash

from bob.datasets.assemble import assemble
from bob.datasets.dataset import Dataset, Split
from bob.datasets.listing import ImageListing
from bob.errors import DatasetError
from bob.precomputed.columns import FeatureFile
from bob.precomputed.messages import first_quoted
from bob.precomputed.rows import Examples
from bob.specs import Role

NO_IDS_NOTE = "the file has no ids: examples are identified by their positions in their splits"


def file_examples(file: FeatureFile, name: str) -> Examples:
    """Return the dataset that a file defines, called `name`.

    A test split is sampled from train where the file has none. DatasetError where labels or train
    rows are missing.
    """
    labels = file.column("y")
    if not labels:
        raise DatasetError(
            f"{file.where}: holds no labels: add an array 'y', or give --data, or --dataset with a "
            "registered dataset, to take labels from there."
        )
    roles = [role for table in file.tables for role in table.roles()]
    if "train" not in roles and set(roles) != {"query", "gallery"}:
        raise DatasetError(
            f"{file.where}: holds {' and '.join(sorted(set(roles)))} rows and no train rows. Give "
            "x_train, or --train."
        )
    ids = file.column("ids") or _position_ids(roles)
    content, groups = file.column("content"), file.column("groups")
    sort_by_id = file.has_ids and not content
    order = sorted(range(len(ids)), key=ids.__getitem__) if sort_by_id else range(len(ids))
    scope = "id" if file.has_ids else place_scope(name)
    listing = ImageListing(
        where=file.where,
        ids=[ids[i] for i in order],
        content=[content[i] if content else example_digest(scope, ids[i]) for i in order],
        read=refuse_to_read,
        splits=[roles[i] for i in order],
        labels=[labels[i] for i in order],
        classes=file.classes,
        groups=[groups[i] for i in order] if groups else None,
        notes=[] if file.has_ids else [NO_IDS_NOTE],
    )
    row_of_id = {example: i for i, example in enumerate(ids)}
    return Examples(assemble(name, listing), file.tables, row_of_id, file.notes)


def _position_ids(roles: Sequence[Role]) -> list[str]:
    """Return `train 0`, `train 1`, `test 0`, ...: the same however the file orders its splits."""
    counts: dict[Role, int] = {}
    names = []
    for role in roles:
        names.append(f"{role} {counts.get(role, 0)}")
        counts[role] = counts.get(role, 0) + 1
    return names


def place_scope(dataset: str) -> str:
    """Return the scope of examples that are identified by their positions in a dataset."""
    return f"place in {dataset}"


def example_digest(scope: str, name: str) -> str:
    """Return the digest that stands for the content of an example; record keys depend on it."""
    return xxhash.xxh3_128_hexdigest(f"example by {scope}: {name}".encode())


def refuse_to_read(position: int) -> bytes:
    """Raise DatasetError: stands for `Split.read` where there are features only."""
    raise DatasetError(f"row {position} has no image; only features are available.")


def require_same_examples(examples: Sequence[Examples], files: Sequence[str]) -> None:
    """Raise DatasetError, with the first difference, where files hold different examples."""
    first = examples[0].dataset
    for other, file in zip(examples[1:], files[1:], strict=True):
        if other.dataset.fingerprint() != first.fingerprint():
            raise DatasetError(
                f"{files[0]} and {file} hold different examples: "
                f"{_difference(first, other.dataset)}. Only models on the same examples can be "
                "compared."
            )


def _difference(first: Dataset, second: Dataset) -> str:
    """Return what differs between two datasets, as text."""
    if first.classes != second.classes:
        return f"classes {first_quoted(first.classes)} and {first_quoted(second.classes)}"
    here, there = _placements(first), _placements(second)
    if unshared := sorted(here.keys() ^ there.keys()):
        return f"{len(unshared):,} of them are in only one of the files, such as {unshared[0]!r}"
    name = next((name for name in here if here[name] != there[name]), None)
    if name is None:
        return "their groups, the order of their classes or their contents"
    (side, c), (other_side, d) = here[name], there[name]
    return f"{name!r} is {first.classes[c]!r} in {side} and {second.classes[d]!r} in {other_side}"


def _placements(dataset: Dataset) -> dict[str, tuple[str, int]]:
    """Return the split and the class of each example by id."""
    return {
        name: (side, c) for side, split in dataset.splits.items() for name, c in _labelled(split)
    }


def _labelled(split: Split) -> Iterable[tuple[str, int]]:
    return zip(split.ids, split.y.tolist(), strict=True)
