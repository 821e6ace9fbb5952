"""Races of a matrix of values, and the race that suits what is to be certified."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.statistics.racing import Certified, Drop, Race
from bob.statistics.tie_race import TieRace


@dataclass(frozen=True)
class RaceResult:
    """A race that has ended."""

    survivors: tuple[int, ...]
    """The backbones that were not dropped; largest sum of values first, then by index."""
    drops: tuple[Drop, ...]
    """In the order in which they were dropped."""
    examples: int
    """Number of examples seen in all."""
    sums: Doubles
    """(K,) sum of the values of each, over the examples seen until it was dropped."""
    evaluations: int
    """Pairs of a backbone and an example that were scored."""
    margin: float
    """That of the race; where ties are let go without a given one, it is what the race has set."""


def new_race(
    count: int,
    error: float,
    margin: float = 0.0,
    certified: Certified = "drops",
    *,
    examples: int,
    total: int | None = None,
) -> Race:
    """Return a race of `count` backbones that has not begun.

    `examples` are those of a full run, whose ties are let go where `certified` is tie.
    """
    if certified == "tie":
        return TieRace(count, error, margin, total, certified, examples=examples)
    return Race(count, error, margin, total, certified)


def race_matrix(
    values: Bools | Doubles,
    looks: Iterable[int],
    error: float,
    margin: float = 0.0,
    total: int | None = None,
    certified: Certified = "drops",
) -> RaceResult:
    """Race K backbones on examples in the order of values (N, K), until one is left.

    A look follows each of the ascending numbers of examples in `looks`.
    """
    count, backbones = values.shape
    race = new_race(backbones, error, margin, certified, examples=count, total=total)
    start = 0
    for stop in looks:
        race.look(values[start:stop])
        start = stop
        if race.active.sum() == 1:
            break
    survivors = sorted(np.flatnonzero(race.active).tolist(), key=lambda i: (-race.sums[i], i))
    scored = sum(drop.examples for drop in race.drops) + len(survivors) * race.seen
    return RaceResult(
        tuple(survivors), tuple(race.drops), race.seen, race.sums, scored, race.claimed_margin
    )


def random_order(count: int, seed: int) -> Ints:
    """Return a uniformly random order of `count` examples, the same for the same seed."""
    return np.random.default_rng(seed).permutation(count)
