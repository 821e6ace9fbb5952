"""Random samples of train images for few-shot protocols, the same for every backbone.

A sample depends on the content of images, their labels and the seed: not on file names, their
order, features or the machine. Images of a class are ordered by their content, and numbers come
from the raw output of PCG64, which numpy promises never to change (its distributions may).
"""

from collections.abc import Sequence

import numpy as np

from bob.numerics.arrays import Ints


def pools(y: Ints, content: Sequence[str], classes: int) -> tuple[Ints, ...]:
    """Return the positions (n_c,) of each class's images, ordered by content.

    Byte-identical images of a class count once: a second one would teach nothing.
    """
    positions: list[list[int]] = [[] for _ in range(classes)]
    seen: set[tuple[int, str]] = set()
    labels = y.tolist()
    for i in sorted(range(len(labels)), key=lambda i: (content[i], i)):
        if (labels[i], content[i]) not in seen:
            seen.add((labels[i], content[i]))
            positions[labels[i]].append(i)
    return tuple(np.array(of_class, np.int64) for of_class in positions)


def generator(seed: int, stream: int = 0) -> np.random.PCG64:
    """Return a source of random bits. Streams of one seed are independent."""
    return np.random.PCG64(np.random.SeedSequence([seed, stream]))


def choose(sizes: Ints, count: int, source: np.random.PCG64) -> Ints:
    """Return distinct numbers (..., count) below each of `sizes` (...), in random order.

    Every ordered choice is equally likely: the j-th number is one of the size - j numbers that
    remain. ValueError where a size is below `count`.
    """
    if sizes.size and count > sizes.min():
        raise ValueError(f"{count} distinct numbers cannot be chosen below {sizes.min()}.")
    chosen = np.empty((*sizes.shape, count), np.int64)
    taken = np.empty_like(chosen)  # the first j chosen, ascending
    for j in range(count):
        number = _below(sizes - j, source)
        for i in range(j):
            number += number >= taken[..., i]
        chosen[..., j] = taken[..., j] = number
        taken[..., : j + 1].sort(-1)
    return chosen


def _below(sizes: Ints, source: np.random.PCG64) -> Ints:
    """Return a number below each of `sizes`, from 53 random bits: uneven by at most size / 2^53."""
    bits = source.random_raw(sizes.size).reshape(sizes.shape) >> np.uint64(11)
    below: Ints = (bits * 2.0**-53 * sizes).astype(np.int64)
    return below
