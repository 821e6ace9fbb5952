"""Splits."""

import numpy as np
import xxhash

from bob.datasets.dataset import Split
from bob.features.store import Effort, Features


def digests(n: int, salt: str = "") -> list[str]:
    return [xxhash.xxh3_128_hexdigest(f"{salt}{i}".encode()) for i in range(n)]


def labels(*sizes: int) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)


def made_split(content: str, y: list[int], groups: tuple[str, ...] | None = None) -> Split:
    return Split(
        tuple(f"{i}" for i in range(len(y))), np.array(y), tuple(content), lambda _: b"", groups
    )


def made_features(n: int, left_out: tuple[int, ...] = ()) -> Features:
    positions = np.array([i for i in range(n) if i not in left_out])
    return Features(positions[:, None].astype(np.float32), positions, {}, Effort())
