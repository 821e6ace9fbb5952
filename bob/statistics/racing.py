"""Races: which of K backbones can be dropped before all examples have been scored.

Let X_ti in [0, 1] be the value of example t with backbone i, such as 1 if i has it right, else 0,
and let m >= 0 be the margin (the indifference). For an ordered pair, the hypothesis H_ij says that
i is better than j by at most m: E[X_ti - X_tj | examples before t] <= m. H_j is the intersection of
H_ij over all i: no backbone is better than j by more than m. Backbone j is dropped when H_j is
rejected.

**Evidence of a pair.** With d = X_ti - X_tj in [-1, 1] and 0 < b < 1, a bettor who stakes the
share b of what is permitted multiplies the capital at each example by

    1 + b (d - m) / (1 + m) >= 0,

whose expectation under H_ij is at most 1. The capital, averaged over a fixed grid of b, is a
nonnegative supermartingale that starts at 1, so that by Ville's inequality it ever reaches 1 / a
with a probability of at most a, whatever the looks and stopping rules (Waudby-Smith & Ramdas 2024,
doi:10.1093/jrsssb/qkad009, sections 3 and 4; mixtures: Howard et al. 2021, doi:10.1214/20-AOS1991).
At m = 0 examples of the same value with both change nothing: of right and wrong answers only
discordant ones count, as in McNemar's test.

**Evidence of a backbone.** E_j is the mean over i of the evidence of the K - 1 pairs (i, j), which
is a nonnegative supermartingale under H_j, whatever the dependence between backbones.

**Error.** Several H_j can be true. The means of any set of E_j are evidence against all of that
set, so that closed testing gives the rule of Vovk & Wang (2021, doi:10.1214/20-AOS2020, algorithm
1): j is dropped if the mean of every set of E that contains E_j is at least 1 / a. The probability
that any backbone is ever dropped although its H_j is true is then at most a, over all pairs, all
looks and any end of the race. In particular, the best backbone is dropped with a probability of at
most a. Which of the others beats a dropped backbone is not certified: `rival` is the one with the
most evidence.

**Target.** For `total` = None, the claim is about the population of which examples are an
independent sample, and the order of the examples must not depend on the predictions. With `total` =
N, it is about the mean over these N examples alone, drawn without replacement in a uniformly random
order, and nothing is assumed of how the N were collected. The margin that remains is then

    m_t = (N m - sum of d over the t examples seen) / (N - t)

in place of m, which is the largest mean of the remaining examples under H_ij (Waudby-Smith & Ramdas
2020, arXiv:2006.04347, proposition 1).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Ints

STAKES = 0.99 * 1.35 ** -np.arange(20.0)
"""Grid of b, equally weighted: the best stake for a gap g on a share q of discordant examples is
about g / q, and the grid costs at most a factor of 20 in evidence."""
MULTIPLIED = 32
"""Factors of capital that are multiplied before a logarithm is taken: at least 0.01 ** 32."""
MOST = 600.0
"""Logarithms of evidence are capped here, far above any threshold, so that sums do not overflow."""


@dataclass(frozen=True)
class Drop:
    """A backbone that was dropped, as an index into the race's backbones."""

    backbone: int
    rival: int
    """Of the backbones that were not dropped before, the one with the most evidence of being
    better."""
    examples: int
    """Number of examples seen when it was dropped."""
    value: float
    rival_value: float
    """Sum of their values with each of the two: how many are right, where values are 0 or 1."""
    log_evidence: float
    """Natural logarithm of the smallest mean of evidence that contains this backbone's."""


@dataclass(eq=False)
class Race:
    """The state of a race of `count` backbones; examples arrive in blocks, and a look follows each.

    Evidence of a dropped backbone stays what it was. A backbone that never takes part
    (`contenders`) has no evidence, which is counted as 0.
    """

    count: int
    error: float
    """Bound of the probability that any backbone is dropped wrongly, in (0, 1)."""
    margin: float = 0.0
    """A backbone is dropped only if another is better by more than this; a fraction in [0, 1)."""
    total: int | None = None
    """Number of examples that the claim is about; None is the population."""
    contenders: Bools | None = None
    """(K,) the backbones that take part; None is all."""
    active: Bools = field(init=False)
    """(K,) the backbones that are not dropped."""
    seen: int = field(init=False, default=0)
    sums: Doubles = field(init=False)
    """(K,) sum of the values of each, over the examples seen until it was dropped."""
    drops: list[Drop] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if not 0 < self.error < 1:
            raise ValueError(f"error must lie between 0 and 1; got {self.error!r}.")
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin must be at least 0 and below 1; got {self.margin!r}.")
        here = np.ones(self.count, bool) if self.contenders is None else self.contenders
        self.active = here.copy()
        self.sums = np.zeros(self.count)
        shape = (self.count, self.count)
        self._sum = np.zeros(shape)
        self._capital = np.where((here[:, None] & here)[..., None], 0.0, -np.inf) + np.zeros(
            (*shape, len(STAKES))
        )

    def look(self, values: Bools | Doubles) -> list[Drop]:
        """Add a block of examples, and drop and return what is rejected after it.

        values (B, K): the value of each example with each backbone, in [0, 1]; True is 1. Those of
        dropped backbones are not read.
        """
        self.add(values)
        rejected = self.rejected()
        self.drop(rejected)
        return rejected

    def add(self, values: Bools | Doubles) -> None:
        """Add a block of examples, values (B, K), without dropping anything."""
        at = np.flatnonzero(self.active)
        block = values[:, at].astype(np.float64)
        if not ((block >= 0) & (block <= 1)).all():
            raise ValueError("values must lie in [0, 1].")
        if self.total is not None and self.seen + len(block) > self.total:
            raise ValueError(f"more than the total of {self.total} examples.")
        pairs = np.ix_(at, at)
        if self.total is None and np.isin(block, (0, 1)).all():
            self._capital[pairs] += _log_growth(block, self.margin)
        else:
            self._capital[pairs] += self._log_growth_by_example(block, self._sum[pairs])
        self._sum[pairs] += block.sum(0)[:, None] - block.sum(0)
        self.sums[at] += block.sum(0)
        self.seen += len(block)

    def rejected(self) -> list[Drop]:
        """Return the active backbones whose hypothesis is rejected; dropping them is not a duty."""
        if self.active.sum() < 2:
            return []
        pairs, adjusted = self.log_evidence(), self._closed_log_evidence()
        drops = []
        for j in np.flatnonzero(self.active & (adjusted >= -np.log(self.error))).tolist():
            i = int(np.where(self.active, pairs[:, j], -np.inf).argmax())
            value, rival_value = float(self.sums[j]), float(self.sums[i])
            drops.append(Drop(j, i, self.seen, value, rival_value, float(adjusted[j])))
        return drops

    def progress(self) -> Doubles:
        """Return (K,) the share of the logarithm of evidence that it takes to drop each, 0 to 1."""
        share: Doubles = np.clip(self._closed_log_evidence() / -np.log(self.error), 0, 1)
        return share

    def _closed_log_evidence(self) -> Doubles:
        evidence = _log_total(self.log_evidence().T) - np.log(self.count - 1)
        return closed_log_evidence(evidence)

    def drop(self, drops: Iterable[Drop]) -> None:
        """Take rejected backbones out of the race."""
        for drop in drops:
            self.active[drop.backbone] = False
            self.drops.append(drop)

    def log_evidence(self) -> Doubles:
        """Return (K, K) the logarithm of the evidence that i (row) is better than j (column)."""
        evidence = np.minimum(_log_mean(self._capital), MOST)
        if self.total is not None and self.seen == self.total:  # the means are known
            better = self._sum > self.total * self.margin + 1e-9
            evidence[better & self.active[:, None] & self.active] = MOST
        np.fill_diagonal(evidence, -np.inf)
        return evidence

    def _log_growth_by_example(self, block: Doubles, before: Doubles) -> Doubles:
        """Return (A, A, S) the growth of capital over a block, example by example.

        block (B, A); before (A, A) sums of differences, on which the margin that remains depends.
        """
        growth = np.empty((*before.shape, len(STAKES)))
        for j in range(block.shape[1]):
            d = block - block[:, [j]]
            bound = np.full_like(d, self.margin)
            if self.total is not None:
                left = self.total - self.seen - np.arange(len(block))
                seen = before[:, j] + np.cumsum(d, axis=0) - d
                bound = (self.total * self.margin - seen) / left[:, None]
            ratio = (d - bound) / np.maximum(1 + bound, 1e-12)
            factor = 1 + STAKES[:, None, None] * np.where(bound < 1, ratio, 0.0)
            starts = np.arange(0, len(block), MULTIPLIED)
            growth[:, j] = np.log(np.multiply.reduceat(factor, starts, axis=1)).sum(1).T
            impossible = (bound < -1 - 1e-9).any(0)
            growth[impossible, j] = np.inf
        return growth


def closed_log_evidence(evidence: Doubles) -> Doubles:
    """Return (K,) the logarithm of the smallest mean over all sets that contain each element.

    evidence (K,) are logarithms. The smallest mean is that of the element and of the smallest ones,
    as many as lower it.
    """
    order = np.argsort(evidence, kind="stable")
    values = np.exp(np.minimum(evidence[order], MOST))
    size = np.arange(1, len(values) + 1)
    sum_of_smaller = np.concatenate([[0.0], np.cumsum(values)[:-1]])
    means = (values[:, None] + sum_of_smaller) / size  # row: element, column: size of the set
    means[size > size[:, None]] = np.inf  # larger elements raise the mean
    adjusted = np.empty(len(values))
    with np.errstate(divide="ignore"):
        adjusted[order] = np.log(means.min(1))
    return adjusted


def _log_growth(block: Doubles, margin: float) -> Doubles:
    """Return (A, A, S) the growth of capital over block (B, A): a function of counts alone."""
    wins = block.T @ (1 - block)
    losses = wins.T
    scale = STAKES / (1 + margin)
    growth = [np.log1p(scale * (d - margin)) for d in (1, -1, 0)]
    counts = (wins, losses, len(block) - wins - losses)
    return sum(
        (n[..., None] * logarithm for n, logarithm in zip(counts, growth, strict=True)),
        start=np.zeros((*wins.shape, len(STAKES))),
    )


def _log_mean(logarithms: Doubles) -> Doubles:
    """Return the logarithm of the mean over the last axis."""
    mean: Doubles = _log_total(logarithms) - np.log(logarithms.shape[-1])
    return mean


def _log_total(logarithms: Doubles) -> Doubles:
    """Return the logarithm of the sum over the last axis; logarithms above MOST count as MOST."""
    capped = np.minimum(logarithms, MOST)
    largest = np.maximum(capped.max(-1, keepdims=True), -MOST)
    with np.errstate(divide="ignore"):
        total: Doubles = np.log(np.exp(capped - largest).sum(-1)) + largest[..., 0]
    return total


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


def race_matrix(
    values: Bools | Doubles,
    looks: Iterable[int],
    error: float,
    margin: float = 0.0,
    total: int | None = None,
) -> RaceResult:
    """Race K backbones on examples in the order of values (N, K), until one is left.

    A look follows each of the ascending numbers of examples in `looks`.
    """
    race, start = Race(values.shape[1], error, margin, total), 0
    for stop in looks:
        race.look(values[start:stop])
        start = stop
        if race.active.sum() == 1:
            break
    survivors = sorted(np.flatnonzero(race.active).tolist(), key=lambda i: (-race.sums[i], i))
    scored = sum(drop.examples for drop in race.drops) + len(survivors) * race.seen
    return RaceResult(tuple(survivors), tuple(race.drops), race.seen, race.sums, scored)


def random_order(count: int, seed: int) -> Ints:
    """Return a uniformly random order of `count` examples, the same for the same seed."""
    return np.random.default_rng(seed).permutation(count)
