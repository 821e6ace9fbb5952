"""Splits and features without images."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import xxhash

from bob.datasets.dataset import Dataset, Split, SplitName
from bob.features.shard import Effort
from bob.features.store import Features
from bob.numerics.arrays import Floats, Ints


def digests(n: int, salt: str = "") -> list[str]:
    """Return n distinct content digests, others for another salt."""
    return [xxhash.xxh3_128_hexdigest(f"{salt}{i}".encode()) for i in range(n)]


def labels(*sizes: int) -> Ints:
    """Return labels of classes of these sizes: `labels(2, 1)` is [0, 0, 1]."""
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)


def make_split(
    content: Sequence[str], y: Sequence[int], groups: Sequence[str] | None = None, **facts: Any
) -> Split:
    """Return a split with these content digests (such as single letters) and empty images."""
    ids = tuple(f"{i}" for i in range(len(y)))
    return Split(ids, np.array(y), tuple(content), lambda _: b"", groups, **facts)


def make_dataset(
    splits: Mapping[Any, Split], classes: Sequence[str] = ("a", "b"), **facts: Any
) -> Dataset:
    """Return a dataset called `d`."""
    return Dataset("d", tuple(classes), cast(Mapping[SplitName, Split], splits), **facts)


def make_features(n: int, excluded: Sequence[int] = ()) -> Features:
    """Return features of width 1 that hold the positions 0..n-1 without the excluded ones."""
    positions = np.array([i for i in range(n) if i not in excluded])
    return Features([positions[:, None].astype(np.float32)], positions, {}, Effort())


def features_from(rows: Floats, positions: Sequence[int] | None = None) -> Features:
    """Return features of the images at `positions`, or of all images."""
    at = np.arange(len(rows)) if positions is None else np.asarray(positions)
    return Features([rows], at, {}, Effort())
