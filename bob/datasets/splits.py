"""Automatic splits and subsets: pure functions of labels, image content, groups and a seed.

The order in which examples are chosen is the order of xxh3(seed, image content). It does not depend on file names, on the order of files, on the
platform, or on the version of a random number generator, so the split of a dataset stays the same for as long as its images do.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from bob.errors import DatasetError

SHARE = 0.2
"""Share of each class that an automatic split puts into test: the customary 80/20."""
SEED = 0
_GIVE = "give train and test yourself (as folders, or in a table's split column)."


class _Unit(NamedTuple):
    """Examples that must stay on one side: linked by a common group or by equal images."""

    members: Sequence[int]
    counts: Mapping[int, int]
    """Class → number of members."""


def automatic_test(
    y: NDArray[np.int64],
    content: Sequence[str],
    groups: Sequence[str] | None = None,
    share: float = SHARE,
    seed: int = SEED,
) -> NDArray[np.bool_]:
    """(N,) mask of the test examples, given (N,) class indices, N content digests and perhaps N group names.

    Each class aims at share * n test examples, rounded, at least 1 and at most n - 1; a class with one example goes to train. Units (see `_Unit`) are
    taken in hash order where they bring the classes nearer to their aims and leave each class in train. Then a class still without test examples gets
    the smallest unit that can be spared.
    """
    if not 0 < share < 1:
        raise DatasetError(f"the test share must lie between 0 and 1; got {share!r}.")
    labels: list[int] = y.tolist()
    units = _units(labels, content, groups, seed)
    sizes = Counter(labels)
    missing = {c: min(max(int(share * n + 0.5), 1), n - 1) for c, n in sizes.items()}
    left = dict(sizes)
    test = np.zeros(len(y), bool)
    for unit in units:
        if _nearer(unit, missing) and _spared(unit, left):
            _take(unit, test, missing, left)
    bare = {c for c in sizes if left[c] == sizes[c]}
    for unit in sorted(
        (unit for unit in units if not bare.isdisjoint(unit.counts)),
        key=lambda unit: len(unit.members),
    ):
        if any(left[c] == sizes[c] for c in unit.counts) and _spared(unit, left):
            _take(unit, test, missing, left)
    if not test.any():
        raise DatasetError(_no_split(sizes))
    return test


def stratified_folds(
    y: NDArray[np.int64],
    content: Sequence[str],
    groups: Sequence[str] | None = None,
    folds: int = 5,
    seed: int = SEED,
) -> NDArray[np.int64]:
    """(N,) fold of each example, 0 to folds - 1, given as for `automatic_test`.

    Units, the largest first and equal ones in hash order, go where there is least of their classes, relative to the sizes of these; of equal folds,
    to the smallest. So without groups a class has as many examples in one fold as in another, or one more.
    """
    labels: list[int] = y.tolist()
    sizes = Counter(labels)
    held: list[Counter[int]] = [Counter() for _ in range(folds)]
    total, fold = [0] * folds, np.empty(len(y), np.int64)
    for unit in sorted(_units(labels, content, groups, seed), key=lambda unit: -len(unit.members)):
        there = min(
            range(folds),
            key=lambda f: (
                sum([held[f][c] * n / sizes[c] for c, n in unit.counts.items()]),
                total[f],
            ),
        )
        fold[unit.members] = there
        total[there] += len(unit.members)
        held[there].update(unit.counts)
    if not any(0 < inside[c] < n for inside in held for c, n in sizes.items()):
        raise DatasetError(_no_split(sizes))
    return fold


def _nearer(unit: _Unit, missing: Mapping[int, int]) -> bool:
    """Whether taking the unit brings test counts nearer to their aims, summed over the unit's classes."""
    return sum([abs(missing[c] - n) - abs(missing[c]) for c, n in unit.counts.items()]) < 0


def _spared(unit: _Unit, left: Mapping[int, int]) -> bool:
    """Whether every class keeps a train example when the unit is taken."""
    return all(left[c] > n for c, n in unit.counts.items())


def _take(
    unit: _Unit, test: NDArray[np.bool_], missing: dict[int, int], left: dict[int, int]
) -> None:
    test[unit.members] = True
    for c, n in unit.counts.items():
        missing[c] -= n
        left[c] -= n


def _no_split(sizes: Mapping[int, int]) -> str:
    if max(sizes.values(), default=0) < 2:
        return f"every class has a single image, so none can be spared for test. Add images, or {_GIVE}"
    return f"no test split can be made: in every class, all images belong to one group or are byte-identical. Use finer groups, or {_GIVE}"


def _units(
    labels: Sequence[int], content: Sequence[str], groups: Sequence[str] | None, seed: int
) -> list[_Unit]:
    """The units in the order of the hash of seed and content."""
    members: dict[Hashable, list[int]] = {}
    for i, root in enumerate(_linked(content, groups)):
        members.setdefault(root, []).append(i)
    alone = {
        c: {c: 1} for c in set(labels)
    }  # shared by the units of one example, which a large dataset has by the million
    units, order = [], []
    for inside in members.values():
        several = len(inside) > 1
        units.append(
            _Unit(
                inside,
                Counter([labels[i] for i in inside]) if several else alone[labels[inside[0]]],
            )
        )
        order.append(
            _order(
                seed,
                "".join(sorted({content[i] for i in inside})) if several else content[inside[0]],
            )
        )
    return [units[u] for u in _ascending(order)]


def _ascending(order: Sequence[bytes]) -> NDArray[np.int64]:
    """Positions of 16-byte hashes from the lowest to the highest."""
    halves = np.frombuffer(b"".join(order), ">u8").reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0]))


def _order(seed: int, content: str) -> bytes:
    return xxhash.xxh3_128_digest(f"{seed}:{content}".encode())


def _linked(content: Sequence[str], groups: Sequence[str] | None) -> Iterable[Hashable]:
    """For each example a key, equal for examples that are linked through equal content or group, directly or over others (union-find)."""
    if groups is None:
        return content
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = parent.setdefault(above, above)  # halves the path
            node = parent[node]
        return node

    for digest, group in zip(content, groups, strict=True):
        parent[root(("content", digest))] = root(("group", group))
    return [root(("content", digest)) for digest in content]


def stratified_subset(
    y: NDArray[np.int64], content: Sequence[str], limit: int, seed: int = SEED
) -> NDArray[np.int64]:
    """Ascending positions of at most `limit` examples, class proportions kept, at least one per class where `limit` allows.

    Within a class, examples rank in hash order. One of each class comes first, then the lowest (rank + 1/2) / class size: Sainte-Laguë's rule of
    proportional seats. A smaller subset is therefore part of a larger one.
    """
    if limit < 1:
        raise DatasetError(f"the limit must be at least 1 image per split; got {limit!r}.")
    place = np.empty(len(y), np.int64)
    place[_ascending([_order(seed, digest) for digest in content])] = np.arange(len(y))
    classes, sizes = np.unique(y, return_counts=True)
    rank = np.empty(len(y), np.int64)
    rank[np.lexsort((place, y))] = np.arange(len(y)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = (rank + 0.5) / sizes[np.searchsorted(classes, y)]
    return np.sort(np.lexsort((place, turn, rank > 0))[:limit]).astype(np.int64)


def shared_images(one: Iterable[str], other: Iterable[str]) -> int:
    """How many examples of `one` have content that is also in `other`."""
    there = set(other)
    return sum(digest in there for digest in one)
