"""Races: which of K backbones can be dropped before all examples have been scored.

Let X_ti in [0, 1] be the value of example t with backbone i, such as 1 if i has it right, else 0,
and let m be the margin (the indifference). For an ordered pair, the hypothesis H_ij says that
i is better than j by at most m: E[X_ti - X_tj | examples before t] <= m. H_j is the intersection of
H_ij over all i: no backbone is better than j by more than m. Backbone j is dropped when H_j is
rejected.

**Evidence against a backbone.** A bettor against H_j who stakes c_i >= 0 on each rival i, with
sum_i c_i (1 + m) < 1, multiplies the capital at each example by

    1 + sum_i c_i (X_ti - X_tj - m) >= 0,

whose expectation under H_j is at most 1, whatever the dependence between backbones. Stakes may
depend on all earlier examples. The capital E_j is a nonnegative supermartingale that starts at 1,
so that by Ville's inequality it ever reaches 1 / a with a probability of at most a, whatever the
looks and stopping rules (Waudby-Smith & Ramdas 2024, doi:10.1093/jrsssb/qkad009, sections 3 and 4;
Howard et al. 2021, doi:10.1214/20-AOS1991). At m = 0 examples of the same value with all change
nothing: of right and wrong answers only discordant ones count, as in McNemar's test.

**Stakes.** The rivals are the LEADERS backbones that are best so far. Their stakes maximise
mean(x) - mean(x^2) / 2 over the earlier examples, x = sum_i c_i (X_ti - X_tj - m), which is the
mean logarithm of the factor to second order, and with one rival and right and wrong answers has
the same maximum at m = 0. PRIOR examples with a mean of 0 shrink them at first.

**Error.** For m < 0, an indifference zone (Bechhofer 1954, doi:10.1214/aoms/1177728845), H_j says
that j is better than every other backbone by at least -m. No two of these are true together, so
that a drop at E_j >= 1 / a is wrong with a probability of at most a over all backbones and looks.
For m >= 0 several are true where backbones tie for the best, or lie within m of it. The means of
any set of E_j are evidence against all of that set, so that closed testing gives the rule of Vovk &
Wang (2021, doi:10.1214/20-AOS2020, algorithm 1): j is dropped if the mean of every set of E that
contains E_j is at least 1 / a. The probability that any backbone is ever dropped although its H_j
is true is then at most a. In particular, the best backbone is dropped with a probability of at most
a. Where this alone is to be certified, j is dropped at E_j >= 1 / a: of backbones that tie for the
best, each is dropped with a probability of at most a, and so are, together, all of them. Which of
the others beats a dropped backbone is not certified: `rival` is the one with the largest sum of
values.

**Target.** For `total` = None, the claim is about the population of which examples are an
independent sample, and the order of the examples must not depend on the predictions. With `total` =
N, it is about the mean over these N examples alone, drawn without replacement in a uniformly random
order, and nothing is assumed of how the N were collected. The margin that remains is then

    m_t = (N m - sum of d over the t examples seen) / (N - t)

in place of m, with d = X_i - X_j, which is the largest mean of the remaining examples under H_ij
(Waudby-Smith & Ramdas 2020, arXiv:2006.04347, proposition 1).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Ints

LEADERS = 4
"""Number of the best backbones so far that are staked on."""
PRIOR, PRIOR_DISCORDANCE = 120, 0.15
"""Examples by which stakes are shrunk, and the share of them on which two backbones differ at most.

Fewer let go of backbones that are far apart sooner, and of close ones later; from 60 to 240 the
evaluations of simulated races differ by a tenth at most.
"""
MOST_STAKED = 0.95
"""Share of the capital that may be lost at one example."""
SWEEPS = 4
"""Rounds of coordinate ascent, each rival's stake in turn."""
FIRST_STAKES, RENEWAL = 8, 8
"""Examples before any stake; new stakes follow after so many more, or an eighth of those seen."""
CHUNK = 1024
"""Examples whose factors are computed together."""
Certified = Literal["drops", "best", "tie"]
"""What holds with a probability of 1 - error: that every drop is right; that a backbone which no
other beats by more than the margin is not dropped; or that the best leads a survivor by less than
minus the margin (`bob.statistics.tie_race`)."""
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

    Evidence against a dropped backbone stays what it was.
    """

    count: int
    error: float
    """Bound of the probability that any backbone is dropped wrongly, in (0, 1)."""
    margin: float = 0.0
    """A backbone is dropped only if another is better by more than this, in (-1, 1). Below 0 it is
    the difference of an indifference zone."""
    total: int | None = None
    """Number of examples that the claim is about; None is the population."""
    certified: Certified = "drops"
    contenders: Bools | None = None
    """(K,) the backbones that take part; None is all."""
    least: float = field(init=False, default=0.0)
    """What no value of the next examples falls below, in [0, 1), set before they are known; races
    that let go of ties stake more where it is above 0."""
    active: Bools = field(init=False)
    """(K,) the backbones that are not dropped."""
    seen: int = field(init=False, default=0)
    sums: Doubles = field(init=False)
    """(K,) sum of the values of each, over the examples seen until it was dropped."""
    drops: list[Drop] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if not 0 < self.error < 1:
            raise ValueError(f"error must lie between 0 and 1; got {self.error!r}.")
        if not -1 < self.margin < 1:
            raise ValueError(f"margin must lie between -1 and 1; got {self.margin!r}.")
        here = np.ones(self.count, bool) if self.contenders is None else self.contenders
        self.active = here.copy()
        self.sums = np.zeros(self.count)
        self._products = np.zeros((self.count, self.count))
        self._log_capital = np.zeros(self.count)
        self._rivals, self._stakes = np.zeros(0, np.int64), np.zeros((self.count, 0))
        self._renewal = FIRST_STAKES

    @property
    def claimed_margin(self) -> float:
        """The margin that the claim names."""
        return self.margin

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
        block = np.where(self.active, values, 0.0)
        if not ((block >= 0) & (block <= 1)).all():
            raise ValueError("values must lie in [0, 1].")
        if self.total is not None and self.seen + len(block) > self.total:
            raise ValueError(f"more than the total of {self.total} examples.")
        while len(block):
            if self.seen >= self._renewal:
                self._renew_stakes()
            now, block = np.split(block, [min(self._renewal - self.seen, CHUNK)])
            self._bet(now)
            self._products += now.T @ now
            self.sums += now.sum(0)
            self.seen += len(now)

    def rejected(self) -> list[Drop]:
        """Return the active backbones whose hypothesis is rejected; dropping them is not a duty.

        The one with the largest sum of values never is, so that one is left.
        """
        if self.active.sum() < 2:
            return []
        evidence = self.adjusted_log_evidence()
        leader = self._leader()
        rejected = self.active & (evidence >= -np.log(self.error))
        rejected[leader] = False
        return [
            Drop(
                j,
                leader,
                self.seen,
                float(self.sums[j]),
                float(self.sums[leader]),
                float(evidence[j]),
            )
            for j in np.flatnonzero(rejected).tolist()
        ]

    def progress(self) -> Doubles:
        """Return (K,) the share of the logarithm of evidence that it takes to drop each, 0 to 1."""
        share: Doubles = np.clip(self.adjusted_log_evidence() / -np.log(self.error), 0, 1)
        return share

    def drop(self, drops: Iterable[Drop]) -> None:
        """Take rejected backbones out of the race."""
        for drop in drops:
            self.active[drop.backbone] = False
            self.drops.append(drop)
            self._renewal = max(self.seen, FIRST_STAKES)

    def log_evidence(self) -> Doubles:
        """Return (K,) the logarithm of the evidence against each backbone."""
        evidence = np.minimum(self._log_capital, MOST)
        if self.total is not None and self.seen == self.total:  # the means are known
            best = self.sums[self.active].max(initial=0)
            is_worse = best - self.sums > self.total * self.margin + 1e-9
            evidence[is_worse & self.active] = MOST
        return evidence

    def adjusted_log_evidence(self) -> Doubles:
        """Return (K,) the logarithm of the evidence that decides about each backbone.

        For all drops at a margin of 0 and above it is the smallest of all sets of active backbones
        that contain it: sets with a dropped one were rejected with it.
        """
        evidence = self.log_evidence()
        if self.margin >= 0 and self.certified == "drops":
            evidence[self.active] = closed_log_evidence(evidence[self.active])
        return evidence

    def _bet(self, block: Doubles) -> None:
        """Multiply the capitals by their factors at each example of a block (B, K)."""
        differences = block[:, None, self._rivals] - block[:, :, None]
        before = self._leads() + np.cumsum(differences, axis=0) - differences
        bound = self._bound(before, self.seen + np.arange(len(block))[:, None, None])
        gains = np.where(bound < 1, (differences - bound) / np.maximum(1 + bound, 1e-12), 0.0)
        factors = 1 + (self._stakes * gains).sum(-1)
        growth = np.log(np.maximum(factors, 1 - MOST_STAKED)).sum(0)
        impossible = (bound < -1 - 1e-9).any((0, 2))
        self._log_capital[self.active] += np.where(impossible, np.inf, growth)[self.active]

    def _leader(self) -> int:
        return int(np.where(self.active, self.sums, -np.inf).argmax())

    def _leads(self) -> Doubles:
        """Return (K, R) by how much the sum of values of each rival is larger."""
        return np.asarray(self.sums[self._rivals] - self.sums[:, None])

    def _bound(self, leads: Doubles, seen: int | Ints) -> Doubles:
        """Return the largest mean difference of the next example under H_ij, of sums so far."""
        if self.total is None:
            return np.full_like(leads, self.margin)
        return np.asarray((self.total * self.margin - leads) / (self.total - seen))

    def _renew_stakes(self) -> None:
        """Choose rivals and stakes by the examples seen."""
        best_first = np.argsort(np.where(self.active, -self.sums, np.inf), kind="stable")
        self._rivals = best_first[: min(LEADERS, int(self.active.sum()))]
        bound = self._bound(self._leads(), self.seen)
        mean, square = self._moments(bound)
        can_gain = (bound < 1) & (self._rivals != np.arange(self.count)[:, None])
        self._stakes = best_stakes(mean, square, can_gain)
        self._renewal = self.seen + max(FIRST_STAKES, self.seen // RENEWAL)

    def _moments(self, bound: Doubles) -> tuple[Doubles, Doubles]:
        """Return the means (K, R) and mean products (K, R, R) of gains so far, with the prior."""
        leads, n = self._leads(), self.seen
        with_rivals = self._products[:, self._rivals]
        own = np.diag(self._products)[:, None, None]
        products = with_rivals[self._rivals] - with_rivals[:, :, None] - with_rivals[:, None] + own
        cross = bound[:, :, None] * leads[:, None]
        products += n * bound[:, :, None] * bound[:, None] - cross - cross.swapaxes(1, 2)
        products += PRIOR * self._prior_square(products) * np.eye(len(self._rivals))
        scale = np.maximum(1 + bound, 1e-12)
        mean = (leads - n * bound) / (n + PRIOR) / scale
        return mean, products / (n + PRIOR) / (scale[:, :, None] * scale[:, None])

    def _prior_square(self, products: Doubles) -> float:
        """Return the mean square of an example of the prior, of sums of products (K, R, R).

        It is that of all pairs so far, FIRST_STAKES examples of PRIOR_DISCORDANCE among them, and
        not larger: values that differ little, such as average precisions, allow higher stakes.
        """
        pairs = self.active[:, None] & (self._rivals != np.arange(self.count)[:, None])
        squares = np.diagonal(products, axis1=1, axis2=2)[pairs]
        known = float(squares.mean()) if len(squares) else 0.0
        mean = (known + FIRST_STAKES * PRIOR_DISCORDANCE) / (self.seen + FIRST_STAKES)
        return min(PRIOR_DISCORDANCE, mean)


def best_stakes(
    mean: Doubles, square: Doubles, can_gain: Bools, most: float = MOST_STAKED
) -> Doubles:
    """Return the stakes b (K, R) >= 0 that maximise b mean - b square b / 2, limited to `most`.

    mean (K, R), square (K, R, R); stakes are 0 where `can_gain` (K, R) is False.
    """
    stakes, slope = np.zeros_like(mean), mean.copy()
    for _ in range(SWEEPS):
        for i in range(mean.shape[1]):
            best = np.maximum(stakes[:, i] + slope[:, i] / square[:, i, i], 0)
            change = np.where(can_gain[:, i], best, 0) - stakes[:, i]
            stakes[:, i] += change
            slope -= square[:, :, i] * change[:, None]
    return limited_stakes(stakes, most)


def limited_stakes(stakes: Doubles, most: float) -> Doubles:
    """Return stakes (..., R) on rivals, scaled down where their sum is above `most`."""
    if most == np.inf:
        return stakes
    total = stakes.sum(-1, keepdims=True)
    return np.asarray(stakes * (most / np.maximum(total, most)))


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
