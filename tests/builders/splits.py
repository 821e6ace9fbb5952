"""Splits and features without images."""

import numpy as np
import xxhash

from bob.datasets.dataset import Split
from bob.features.store import Effort, Features


def digests(n: int, salt: str = "") -> list[str]:
    """Return n distinct content digests, others for another salt."""
    return [xxhash.xxh3_128_hexdigest(f"{salt}{i}".encode()) for i in range(n)]


def labels(*sizes: int) -> np.ndarray:
    """Return labels of classes of these sizes: `labels(2, 1)` is [0, 0, 1]."""
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)


def make_split(content: str, y: list[int], groups: tuple[str, ...] | None = None) -> Split:
    """Return a split whose content digests are single letters; its images are empty."""
    return Split(
        tuple(f"{i}" for i in range(len(y))), np.array(y), tuple(content), lambda _: b"", groups
    )


def make_features(n: int, excluded: tuple[int, ...] = ()) -> Features:
    """Return features of width 1 that hold the positions 0..n-1 without the excluded ones."""
    positions = np.array([i for i in range(n) if i not in excluded])
    return Features([positions[:, None].astype(np.float32)], positions, {}, Effort())
