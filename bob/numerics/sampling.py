"""Draws of train images for few-shot protocols: the same for every backbone.

A draw depends on the images' content, their labels and the seed: not on file names, their order, features or the machine. Images of a class are
ordered by their content, and numbers come from the raw output of PCG64, which numpy promises never to change (its distributions may).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def pools(y: Ints, content: Sequence[str], classes: int) -> tuple[Ints, ...]:
    """Per class the positions of its images (n_c,), ordered by content. Of byte-identical images one counts: a second would teach nothing."""
    found: list[list[int]] = [[] for _ in range(classes)]
    seen: set[tuple[int, str]] = set()
    labels = y.tolist()
    for i in sorted(range(len(labels)), key=lambda i: (content[i], i)):
        if (labels[i], content[i]) not in seen:
            seen.add((labels[i], content[i]))
            found[labels[i]].append(i)
    return tuple(np.array(members, np.int64) for members in found)


def generator(seed: int, stream: int = 0) -> np.random.PCG64:
    """The source of a protocol's draws. Streams of one seed are independent."""
    return np.random.PCG64(np.random.SeedSequence([seed, stream]))


def choose(sizes: Ints, count: int, source: np.random.PCG64) -> Ints:
    """(..., count) distinct numbers below each of `sizes` (...), in random order: every ordered choice is equally likely.

    The j-th is one of the size - j numbers not yet taken, counted over those taken.
    """
    if sizes.size and count > sizes.min():
        raise ValueError(f"{count} distinct numbers cannot be chosen below {sizes.min()}.")
    chosen = np.empty((*sizes.shape, count), np.int64)
    taken = np.empty_like(chosen)
    """The first j, ascending."""
    for j in range(count):
        number = _below(sizes - j, source)
        for i in range(j):
            number += number >= taken[..., i]
        chosen[..., j] = taken[..., j] = number
        taken[..., : j + 1].sort(-1)
    return chosen


def _below(sizes: Ints, source: np.random.PCG64) -> Ints:
    """A number below each of `sizes`, from 53 random bits: uneven by at most size / 2^53."""
    bits = source.random_raw(sizes.size).reshape(sizes.shape) >> np.uint64(11)
    below: Ints = (bits * 2.0**-53 * sizes).astype(np.int64)
    return below
