"""Automatic splits and subsets: pure functions of labels, image content, groups and a seed.

Examples are chosen in the order of xxh3(seed, image content). This order does not depend on file
names, on the order of files, on the platform, or on the version of a random number generator, so
the split of a dataset stays the same for as long as its images do.
"""

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from bob.errors import DatasetError

TEST_SHARE = 0.2
"""Share of each class that an automatic split puts into test: the customary 80/20."""
SEED = 0
"""Default seed of automatic splits and subsets."""
NO_CLASS = -1
"""The class of images that have none, such as those with masks, depth maps or boxes."""
CHUNK = 8
"""Largest number of examples of a group that a subset takes at once."""
_PROVIDE_SPLITS = "provide train and test images (as folders, or in a table's column 'split')."


class _Unit(NamedTuple):
    """Examples that must stay on one side: linked by a common group or by identical images."""

    members: Sequence[int]
    counts: Mapping[int, int]
    """Class → number of members."""


def automatic_test(
    y: NDArray[np.int64],
    content: Sequence[str],
    groups: Sequence[str] | None = None,
    share: float = TEST_SHARE,
    seed: int = SEED,
    not_train: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Choose the test examples, from (N,) class indices, N content digests and N group names.

    Returns an (N,) mask. The target of a class of n examples is share * n test examples, rounded,
    at least 1 and at most n - 1; a class with one example goes to train. Units (see `_Unit`) are
    taken in hash order if they bring their classes nearer to their targets and leave each of them
    in train. A class still without test examples then receives the smallest unit that can be
    spared. Units with an example that `not_train` (N,) marks are taken before all others, even
    where they exceed a target or are all that a class has.
    """
    if not 0 < share < 1:
        raise DatasetError(f"the test share must lie between 0 and 1; got {share!r}.")
    labels: list[int] = y.tolist()
    units = _units(labels, content, groups, seed)
    sizes = Counter(labels)
    missing = {c: min(max(int(share * n + 0.5), 1), n - 1) for c, n in sizes.items()}
    remaining = dict(sizes)
    test = np.zeros(len(y), bool)
    if not_train is not None:
        for unit in [unit for unit in units if not_train[unit.members].any()]:
            _take(unit, test, missing, remaining)
        units = [unit for unit in units if not not_train[unit.members].any()]
    for unit in units:
        if _approaches_target(unit, missing) and _can_be_spared(unit, remaining):
            _take(unit, test, missing, remaining)
    untested = {c for c in sizes if remaining[c] == sizes[c]}
    for unit in sorted(
        (unit for unit in units if not untested.isdisjoint(unit.counts)),
        key=lambda unit: len(unit.members),
    ):
        if any(remaining[c] == sizes[c] for c in unit.counts) and _can_be_spared(unit, remaining):
            _take(unit, test, missing, remaining)
    if not test.any():
        raise DatasetError(_explain_no_split(sizes))
    return test


def stratified_folds(
    y: NDArray[np.int64],
    content: Sequence[str],
    groups: Sequence[str] | None = None,
    folds: int = 5,
    seed: int = SEED,
) -> NDArray[np.int64]:
    """Assign N examples to folds for cross-validation; arguments as for `automatic_test`.

    Returns (N,) fold indices from 0 to folds - 1. Units are placed one by one, the largest first
    and equal ones in hash order, into the fold that holds the smallest share of their classes, and
    of equal folds into the smallest. Without groups, the number of examples of a class therefore
    differs by at most one between folds.
    """
    labels: list[int] = y.tolist()
    sizes = Counter(labels)
    counts: list[Counter[int]] = [Counter() for _ in range(folds)]
    total, fold = [0] * folds, np.empty(len(y), np.int64)
    for unit in sorted(_units(labels, content, groups, seed), key=lambda unit: -len(unit.members)):
        best = min(
            range(folds),
            key=lambda f: (
                sum([counts[f][c] * n / sizes[c] for c, n in unit.counts.items()]),
                total[f],
            ),
        )
        fold[unit.members] = best
        total[best] += len(unit.members)
        counts[best].update(unit.counts)
    if not any(0 < inside[c] < n for inside in counts for c, n in sizes.items()):
        raise DatasetError(_explain_no_split(sizes))
    return fold


def _approaches_target(unit: _Unit, missing: Mapping[int, int]) -> bool:
    """Return whether taking the unit reduces the distance to the targets of its classes."""
    return sum([abs(missing[c] - n) - abs(missing[c]) for c, n in unit.counts.items()]) < 0


def _can_be_spared(unit: _Unit, remaining: Mapping[int, int]) -> bool:
    """Return whether every class keeps a train example if the unit is taken."""
    return all(remaining[c] > n for c, n in unit.counts.items())


def _take(
    unit: _Unit, test: NDArray[np.bool_], missing: dict[int, int], remaining: dict[int, int]
) -> None:
    """Move a unit to test."""
    test[unit.members] = True
    for c, n in unit.counts.items():
        missing[c] -= n
        remaining[c] -= n


def _explain_no_split(sizes: Mapping[int, int]) -> str:
    if set(sizes) == {NO_CLASS}:
        reason = "there is a single one" if sizes[NO_CLASS] < 2 else "all are byte-identical"
        return f"the images cannot be split: {reason}. Add images, or give train and test images."
    if max(sizes.values(), default=0) < 2:
        return (
            "the images cannot be split: every class has a single image. "
            f"Add images, or {_PROVIDE_SPLITS} To predict a number for each image instead of a "
            "class, call its column 'target' and run the task 'regress'."
        )
    return (
        "the images cannot be split: in every class, all images belong to one group or are "
        f"byte-identical. Use finer groups, or {_PROVIDE_SPLITS}"
    )


def _units(
    labels: Sequence[int], content: Sequence[str], groups: Sequence[str] | None, seed: int
) -> list[_Unit]:
    """Return the units in the order of the hash of seed and content."""
    members: dict[Hashable, list[int]] = {}
    for i, root in enumerate(_link_keys(content, groups)):
        members.setdefault(root, []).append(i)
    # Units of one example share their counts: a large dataset has millions of them.
    single_counts = {c: {c: 1} for c in set(labels)}
    units, hashes = [], []
    for positions in members.values():
        if len(positions) > 1:
            counts: Mapping[int, int] = Counter([labels[i] for i in positions])
            key = "".join(sorted({content[i] for i in positions}))
        else:
            counts = single_counts[labels[positions[0]]]
            key = content[positions[0]]
        units.append(_Unit(positions, counts))
        hashes.append(_hash(seed, key))
    return [units[u] for u in _argsort(hashes)]


def _argsort(hashes: Sequence[bytes]) -> NDArray[np.int64]:
    """Return the positions of 16-byte hashes in ascending order."""
    halves = np.frombuffer(b"".join(hashes), ">u8").reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0]))


def _hash(seed: int, content: str) -> bytes:
    return xxhash.xxh3_128_digest(f"{seed}:{content}".encode())


def _link_keys(content: Sequence[str], groups: Sequence[str] | None) -> Iterable[Hashable]:
    """Return a key per example, equal for examples linked by equal content or group (union-find).

    Links are transitive.
    """
    if groups is None:
        return content
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = parent.setdefault(above, above)  # path halving
            node = parent[node]
        return node

    for digest, group in zip(content, groups, strict=True):
        parent[root(("content", digest))] = root(("group", group))
    return [root(("content", digest)) for digest in content]


def stratified_subset(
    y: NDArray[np.int64],
    content: Sequence[str],
    limit: int,
    seed: int = SEED,
    groups: Sequence[str] | None = None,
    *,
    every_class: bool = True,
) -> NDArray[np.int64]:
    """Choose at most `limit` of N examples with the same class proportions, and return positions.

    The positions are ascending. Every class keeps at least one example if `limit` allows. Within a
    class, examples rank in hash order. One example of each class comes first, then the lowest
    (rank + 1/2) / class size: Sainte-Laguë's rule of proportional seats. A smaller subset is
    therefore contained in a larger one.

    With `groups`, of which images are positives of each other in retrieval, the examples of a group
    come together, up to `CHUNK` at a time: after one example of each class, these are completed,
    then the groups follow by the same rule. `every_class` is False where the groups are the classes
    and need not all be there.
    """
    if limit < 1:
        raise DatasetError(f"the limit must be at least 1 image per split; got {limit!r}.")
    if groups is not None:
        return _grouped_subset(y, _hash_places(content, seed), groups, limit, every_class)
    return np.sort(stratified_order(y, content, seed)[:limit])


def stratified_order(
    y: NDArray[np.int64], content: Sequence[str], seed: int = SEED
) -> NDArray[np.int64]:
    """Return (N,) the positions of N examples in the order in which `stratified_subset` takes them.

    Every class has about its share of any first part, and as soon as possible one example.
    """
    place = _hash_places(content, seed)
    classes, sizes = np.unique(y, return_counts=True)
    rank = np.empty(len(y), np.int64)
    rank[np.lexsort((place, y))] = np.arange(len(y)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = (rank + 0.5) / sizes[np.searchsorted(classes, y)]
    return np.lexsort((place, turn, rank > 0)).astype(np.int64)


def _hash_places(content: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return (N,) the places of N examples in hash order."""
    place = np.empty(len(content), np.int64)
    place[_argsort([_hash(seed, digest) for digest in content])] = np.arange(len(content))
    return place


def _grouped_subset(
    y: NDArray[np.int64],
    place: NDArray[np.int64],
    groups: Sequence[str],
    limit: int,
    every_class: bool,
) -> NDArray[np.int64]:
    """Choose examples group by group, given their places (N,) in hash order."""
    labels: list[int] = y.tolist()
    order: list[int] = np.argsort(place).tolist()
    chunks = _chunks(order, groups)
    leaders: list[int] = []
    if every_class:
        first = {labels[i]: i for i in reversed(order)}
        sizes = Counter(labels)
        leaders = sorted(first.values(), key=lambda i: (-sizes[labels[i]], place[i]))
    chunk_of = {i: chunk for chunk in chunks for i in chunk}
    led = [chunk_of[i] for i in leaders]
    sequence = itertools.chain(leaders, *led, *_by_turn(chunks, labels))
    chosen = list(dict.fromkeys(sequence))[:limit]
    last = chosen[-1]
    mates = set(chunk_of[last]) - {last}
    if mates and mates.isdisjoint(chosen) and last not in leaders:
        chosen.pop()
    return np.array(sorted(chosen), np.int64)


def _chunks(order: Sequence[int], groups: Sequence[str]) -> list[list[int]]:
    """Return the parts of each group: `CHUNK` examples in hash order, or one more at its end.

    One example would otherwise be left alone.
    """
    members: dict[str, list[int]] = {}
    for i in order:
        members.setdefault(groups[i], []).append(i)
    chunks = []
    for positions in members.values():
        starts = range(0, max(1, len(positions) - 1), CHUNK)
        chunks += [
            positions[start : None if start == starts[-1] else start + CHUNK] for start in starts
        ]
    return chunks


def _by_turn(chunks: Sequence[Sequence[int]], labels: Sequence[int]) -> list[Sequence[int]]:
    """Return chunks in the order in which they are due: by their middle's share of their class.

    A chunk counts to the class of its first example; of equal shares, hash order decides.
    """
    sizes: Counter[int] = Counter()
    for chunk in chunks:
        sizes[labels[chunk[0]]] += len(chunk)
    taken: Counter[int] = Counter()
    turns = []
    for chunk in chunks:
        c = labels[chunk[0]]
        turns.append((taken[c] + len(chunk) / 2) / sizes[c])
        taken[c] += len(chunk)
    return [chunks[k] for k in sorted(range(len(chunks)), key=turns.__getitem__)]


def count_shared_images(content: Iterable[str], reference: Iterable[str]) -> int:
    """Return how many digests of `content` also occur in `reference`."""
    digests = set(reference)
    return sum(digest in digests for digest in content)
