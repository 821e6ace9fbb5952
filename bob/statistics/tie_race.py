"""A race that lets go of ties: a survivor is the best, or hardly worse than it.

Notation is that of `bob.statistics.racing`. Let m > 0 be the zone. For a protector p and any other
backbone j, the hypothesis G_jp says that j is better than p by m or more: E[X_tj - X_tp | examples
before t] >= m. A bettor against it multiplies the capital at each example by

    1 + b (X_tp - X_tj + m) / (1 - m),  0 <= b < 1,

whose expectation under G_jp is at most 1. Backbone j may be dropped if, for a protector p that
stays in the race, the capital has ever reached PROTECTORS / a.

**Claim.** With a probability of at least 1 - a, the best backbone leads some survivor by less than
m. Let b be the best one. If b is dropped, it is for a protector p that survives. If b leads this p
by m or more, G_bp is true. Protectors are appointed at looks, and bets against them use later
examples alone, so that the capital is a nonnegative supermartingale from the appointment on, whose
start is 1 whatever was appointed (Ville's inequality, given the examples before). It ever reaches
PROTECTORS / a with a probability of at most a / PROTECTORS, and there are PROTECTORS such events.
No further correction is needed, however many backbones race: the claim is about b alone. A
protector is dropped only if all that were dropped for it may be dropped for another that stays, so
that small differences do not add up over a chain of drops.

**Protectors.** The first is the leader of the first look at which LEAST_FIRST examples are seen;
the next is the first later leader of a look at which twice as many are.

**Zone.** It is given, or set at the first appointment, before any bet: the smallest lead that a
one-sided paired test at the level of 5 % of the examples of a full run would call significant
(`least_significant_lead`), if two backbones differ as pairs of the better half do so far.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import bdtr

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.statistics.racing import FIRST_STAKES, MOST_STAKED, RENEWAL, Drop, Race

PROTECTORS = 2
LEAST_FIRST = 40
"""Examples seen before the zone is set and a protector appointed."""
PRIOR = 240
"""Examples without a difference by which stakes are shrunk to those for a tie.

On features of sample images, 120 take 1 to 3 points more evaluations, and 480 no fewer.
"""
NORMAL = 1.644854
"""The quantile 0.95 of the normal distribution."""
LEAST_DISCORDANT = 5
"""Discordant examples of which a significant lead has at least: 1 / 2^5 < 0.05 < 1 / 2^4."""
WIDEST_ZONE = 0.9


@dataclass(eq=False)
class TieRace(Race):
    """The state of such a race. A `margin` of 0 is replaced by minus the zone that it sets.

    Looks follow each block: evidence depends on them, as they appoint protectors.
    """

    examples: int = 0
    """Examples of a full run, whose ties are let go."""
    _protectors: Ints = field(init=False)
    """(P,) backbones."""
    _appointed: int = field(init=False, default=0)
    """Examples seen when the last protector was appointed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.margin > 0 or self.total is not None:
            raise ValueError(
                "a race that lets go of ties has no margin above 0, and is about the population; "
                f"got margin {self.margin!r} and total {self.total!r}."
            )
        self._protectors = np.zeros(0, np.int64)
        self._log_capital = np.zeros((self.count, 0))
        self._highest = np.zeros((self.count, 0))
        self._are_answers = True
        self._square = 0.0

    def add(self, values: Bools | Doubles) -> None:
        """Add a block of examples, values (B, K), then appoint a protector if it is time."""
        super().add(values)
        of_active = np.asarray(values, np.float64)[:, self.active]
        self._are_answers &= bool(np.isin(of_active, (0.0, 1.0)).all())
        if self.seen >= LEAST_FIRST and self.active.any():
            self._appoint()

    def rejected(self) -> list[Drop]:
        """Return the active backbones that may be dropped together, the worst first.

        The one with the largest sum of values is not among them.
        """
        may_drop = self._highest >= self._threshold()
        active, gone = self.active.copy(), [drop.backbone for drop in self.drops]
        by_sum = np.argsort(self.sums, kind="stable")
        rejected = []
        for j in by_sum[active[by_sum] & (by_sum != self._leader())].tolist():
            left = active & (np.arange(self.count) != j)
            if may_drop[[*gone, j]][:, left[self._protectors]].any(1).all():
                active = left
                gone.append(j)
                rejected.append(j)
        return [self._drop_of(j, active[self._protectors]) for j in rejected]

    def log_evidence(self) -> Doubles:
        """Return (K,) the logarithm of the most evidence against each for an active protector."""
        highest = self._highest[:, self.active[self._protectors]]
        return np.asarray(highest.max(1, initial=0.0))

    def progress(self) -> Doubles:
        """Return (K,) the share of the logarithm of evidence that it takes to drop each, 0 to 1."""
        return np.clip(self.log_evidence() / self._threshold(), 0, 1)

    def _threshold(self) -> float:
        return float(np.log(PROTECTORS / self.error))

    def _drop_of(self, j: int, stays: Bools) -> Drop:
        """Return the drop of a backbone for the protector with the most evidence, of some (P,)."""
        at = int(np.where(stays, self._highest[j], -np.inf).argmax())
        rival = int(self._protectors[at])
        sums = float(self.sums[j]), float(self.sums[rival])
        return Drop(j, rival, self.seen, *sums, float(self._highest[j, at]))

    def _appoint(self) -> None:
        """Make the leader a protector, and set the zone before the first."""
        leader = self._leader()
        is_complete = len(self._protectors) == PROTECTORS
        if is_complete or leader in self._protectors or self.seen < 2 * self._appointed:
            return
        if not self._appointed:
            self._square = self._mean_square()
            if not self.margin:
                lead = least_significant_lead(self._square, self.examples, self._are_answers)
                self.margin = -min(WIDEST_ZONE, lead)
        self._protectors = np.append(self._protectors, leader)
        unknown = np.zeros(self.count)
        self._log_capital = np.column_stack([self._log_capital, unknown])
        self._highest = np.column_stack([self._highest, unknown])
        self._appointed = self._renewal = self.seen

    def _mean_square(self) -> float:
        """Return the mean square difference of pairs of the better half so far."""
        best_first = np.argsort(np.where(self.active, -self.sums, np.inf), kind="stable")
        half = best_first[: max(2, int(self.active.sum()) // 2)]
        return float(self._squares(half, half)[np.triu_indices(len(half), 1)].mean()) / self.seen

    def _squares(self, rows: Ints, columns: Ints) -> Doubles:
        """Return the sums of squared differences of pairs of backbones so far."""
        own = np.diag(self._products)
        products = self._products[np.ix_(rows, columns)]
        return np.asarray(own[rows][:, None] + own[columns] - 2 * products)

    def _bet(self, block: Doubles) -> None:
        """Multiply the capitals by their factors at each example of a block (B, K)."""
        if not len(self._protectors):
            return
        may_bet = self.active[:, None] & self.active[self._protectors]
        may_bet &= self._protectors != np.arange(self.count)[:, None]
        differences = block[:, None, self._protectors] - block[:, :, None]
        gains = (differences - self.margin) / (1 + self.margin)
        factors = 1 + np.where(may_bet, self._stakes, 0.0) * gains
        paths = self._log_capital + np.cumsum(np.log(factors), axis=0)
        self._log_capital = paths[-1]
        self._highest = np.maximum(self._highest, paths.max(0))

    def _renew_stakes(self) -> None:
        """Choose the stakes (K, P) that maximise the mean logarithm so far, to second order."""
        everyone, zone, n = np.arange(self.count), -self.margin, self.seen + PRIOR
        mean = (self.sums[self._protectors] - self.sums[:, None]) / n
        square = (self._squares(everyone, self._protectors) + PRIOR * self._square) / n
        with_zone = np.maximum(square + 2 * zone * mean + zone**2, 1e-12)
        self._stakes = np.clip((mean + zone) * (1 - zone) / with_zone, 0, MOST_STAKED)
        self._renewal = self.seen + max(FIRST_STAKES, self.seen // RENEWAL)


def least_significant_lead(square: float, examples: int, are_answers: bool) -> float:
    """Return the smallest lead of means that a one-sided paired test calls significant at 5 %.

    square: mean squared difference of two backbones' values. For right and wrong answers this is
    the share of discordant examples, and the test is the exact one of McNemar; for others, 1.64
    standard errors are a significant lead.
    """
    if not are_answers:
        return float(NORMAL * np.sqrt(square / examples))
    discordant = max(LEAST_DISCORDANT, round(square * examples))
    fewer = np.arange(discordant // 2 + 1)
    significant = bdtr(fewer, discordant, 0.5) < 0.05
    return float(discordant - 2 * fewer[significant].max()) / examples
