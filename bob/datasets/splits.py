"""Automatic splits and subsets: pure functions of labels, image content, groups and a seed.

The order in which examples are chosen is the order of xxh3(seed, image content). It does not depend on file names, on the order of files, on the
platform, or on the version of a random number generator, so the split of a dataset stays the same for as long as its images do.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from bob.errors import DatasetError

SHARE = 0.2
"""Share of each class that an automatic split puts into test: the customary 80/20."""
SEED = 0
_GIVE = "give train and test yourself (as folders, or in a table's split column)."


@dataclass(frozen=True)
class _Unit:
    """Examples that must stay on one side: linked by a common group or by equal images."""

    members: tuple[int, ...]
    counts: Counter[int]
    """Class → number of members."""
    order: bytes
    """Hash of seed and content."""


def automatic_test(
    y: NDArray[np.int64], content: Sequence[str], groups: Sequence[str] | None = None, share: float = SHARE, seed: int = SEED
) -> NDArray[np.bool_]:
    """(N,) mask of the test examples, given (N,) class indices, N content digests and perhaps N group names.

    Each class aims at share * n test examples, rounded, at least 1 and at most n - 1; a class with one example goes to train. Units (see `_Unit`) are
    taken in hash order where they bring the classes nearer to their aims and leave each class in train. Then a class still without test examples gets
    the smallest unit that can be spared.
    """
    if not 0 < share < 1:
        raise DatasetError(f"the test share must lie between 0 and 1; got {share!r}.")
    units = sorted(_units(y, content, groups, seed), key=lambda unit: unit.order)
    sizes = Counter(y.tolist())
    missing = Counter({c: min(max(int(share * n + 0.5), 1), n - 1) for c, n in sizes.items()})
    left = Counter(sizes)
    test = np.zeros(len(y), bool)
    for unit in units:
        if _nearer(unit, missing) and _spared(unit, left):
            _take(unit, test, missing, left)
    for unit in sorted(units, key=lambda unit: (len(unit.members), unit.order)):
        if any(left[c] == sizes[c] for c in unit.counts) and _spared(unit, left):
            _take(unit, test, missing, left)
    if not test.any():
        raise DatasetError(_no_split(sizes))
    return test


def _nearer(unit: _Unit, missing: Counter[int]) -> bool:
    """Whether taking the unit brings test counts nearer to their aims, summed over the unit's classes."""
    return sum(abs(missing[c] - n) - abs(missing[c]) for c, n in unit.counts.items()) < 0


def _spared(unit: _Unit, left: Counter[int]) -> bool:
    """Whether every class keeps a train example when the unit is taken."""
    return all(left[c] > n for c, n in unit.counts.items())


def _take(unit: _Unit, test: NDArray[np.bool_], missing: Counter[int], left: Counter[int]) -> None:
    test[list(unit.members)] = True
    missing.subtract(unit.counts)
    left.subtract(unit.counts)


def _no_split(sizes: Counter[int]) -> str:
    if max(sizes.values(), default=0) < 2:
        return f"every class has a single image, so none can be spared for test. Add images, or {_GIVE}"
    return f"no test split can be made: in every class, all images belong to one group or are byte-identical. Use finer groups, or {_GIVE}"


def _units(y: NDArray[np.int64], content: Sequence[str], groups: Sequence[str] | None, seed: int) -> list[_Unit]:
    members, labels = defaultdict(list), y.tolist()
    for i, root in enumerate(_linked(content, groups)):
        members[root].append(i)
    return [
        _Unit(tuple(inside), Counter([labels[i] for i in inside]), _order(seed, "".join(sorted({content[i] for i in inside}))))
        for inside in members.values()
    ]


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


def stratified_subset(y: NDArray[np.int64], content: Sequence[str], limit: int, seed: int = SEED) -> NDArray[np.int64]:
    """Ascending positions of at most `limit` examples, class proportions kept, at least one per class where `limit` allows.

    Within a class, examples rank in hash order. One of each class comes first, then the lowest (rank + 1/2) / class size: Sainte-Laguë's rule of
    proportional seats. A smaller subset is therefore part of a larger one.
    """
    if limit < 1:
        raise DatasetError(f"the limit must be at least 1 image per split; got {limit!r}.")
    order = [_order(seed, digest) for digest in content]
    sizes, seen = Counter(y.tolist()), Counter[int]()
    turns = []
    for i in sorted(range(len(y)), key=lambda i: (order[i], i)):
        c = int(y[i])
        turns.append((seen[c] > 0, (seen[c] + 0.5) / sizes[c], order[i], i))
        seen[c] += 1
    return np.sort(np.array([turn[-1] for turn in sorted(turns)[:limit]], np.int64))


def shared_images(one: Iterable[str], other: Iterable[str]) -> int:
    """How many examples of `one` have content that is also in `other`."""
    there = set(other)
    return sum(digest in there for digest in one)
