"""Examples that bob-bench knows by their features alone: labels and splits from the file.

Which example a row is of, its id says: files with the same ids, labels, splits and groups hold the same examples, in whatever order and format.
Without ids it is the place within its split, under the name that the user gives to the dataset: whoever uses that name for another file says that
its rows are of the same examples in the same order. Neither can be taken for an image, whose digest is of its bytes; only where the file tells
these digests (`content`, as exported by bob-bench), in the images' order, are its examples those images.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import xxhash

from bob.datasets.assemble import assemble
from bob.datasets.dataset import Dataset, Split
from bob.datasets.listing import Listing
from bob.errors import DatasetError
from bob.precomputed.columns import Given
from bob.precomputed.rows import Examples
from bob.specs import Role

BY_PLACE = "the file has no ids: an example is told by its place in its split"


def own_examples(given: Given, name: str) -> Examples:
    """The file's own dataset, called `name`; a test split is taken from train where the file has none."""
    labels = list(chain.from_iterable(block.y or () for block in given.blocks))
    if not labels:
        raise DatasetError(
            f"{given.where}: holds no labels: an array 'y', or --data where a dataset that is known here has them."
        )
    roles = [role for block in given.blocks for role in block.roles()]
    if not {"train"} & {*roles} and {*roles} != {"query", "gallery"}:
        raise DatasetError(
            f"{given.where}: holds {' and '.join(sorted(set(roles)))} rows and no train rows. Give x_train, or --train."
        )
    ids = list(chain.from_iterable(block.ids or () for block in given.blocks)) or _by_place(roles)
    content = list(chain.from_iterable(block.content or () for block in given.blocks))
    groups = list(chain.from_iterable(block.groups or () for block in given.blocks))
    order = (
        sorted(range(len(ids)), key=ids.__getitem__)
        if given.has_ids and not content
        else range(len(ids))
    )
    scope = "id" if given.has_ids else f"place in {name}"
    listing = Listing(
        where=given.where,
        ids=[ids[i] for i in order],
        content=[content[i] if content else _told(scope, ids[i]) for i in order],
        read=_no_image,
        splits=[roles[i] for i in order],
        labels=[labels[i] for i in order],
        classes=given.classes,
        groups=[groups[i] for i in order] if groups else None,
        notes=[] if given.has_ids else [BY_PLACE],
    )
    return Examples(
        assemble(name, listing), given.blocks, {name: i for i, name in enumerate(ids)}, given.notes
    )


def _by_place(roles: list[Role]) -> list[str]:
    """`train 0`, `train 1`, `test 0`: the same however the file holds its splits."""
    counts: dict[Role, int] = {}
    names = []
    for role in roles:
        names.append(f"{role} {counts.get(role, 0)}")
        counts[role] = counts.get(role, 0) + 1
    return names


def _told(scope: str, name: str) -> str:
    return xxhash.xxh3_128_hexdigest(f"example by {scope}: {name}".encode())


def _no_image(position: int) -> bytes:
    raise DatasetError(f"row {position} has no image; features are all there is.")


def require_same(several: Sequence[Examples], files: Sequence[str]) -> None:
    """DatasetError where files that are to be compared do not hold the same examples; the first difference is told."""
    first = several[0].dataset
    for other, file in zip(several[1:], files[1:], strict=True):
        if other.dataset.fingerprint() != first.fingerprint():
            raise DatasetError(
                f"{files[0]} and {file} hold different examples: {_difference(first, other.dataset)}. Only the same can be compared."
            )


def _difference(one: Dataset, other: Dataset) -> str:
    if one.classes != other.classes:
        return f"classes {_shown(one.classes)} and {_shown(other.classes)}"
    sides = {
        dataset: {
            name: (side, c)
            for side, split in dataset.splits.items()
            for name, c in _labelled(split)
        }
        for dataset in (one, other)
    }
    here, there = sides[one], sides[other]
    if alone := sorted(here.keys() ^ there.keys()):
        return f"{len(alone):,} of them are in one file alone, such as {alone[0]!r}"
    name = next((name for name in here if here[name] != there[name]), None)
    if name is None:
        return "their groups, the order of their classes or their contents"
    (side, c), (other_side, d) = here[name], there[name]
    return f"{name!r} is {one.classes[c]!r} in {side} and {other.classes[d]!r} in {other_side}"


def _labelled(split: Split) -> Iterable[tuple[str, int]]:
    return zip(split.ids, split.y.tolist(), strict=True)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
