"""A race that lets go of ties: a survivor is the best, or hardly worse than it.

Notation is that of `bob.statistics.racing`. Let m > 0 be the zone. For a protector p and any other
backbone j, the hypothesis G_jp says that j is better than p by m or more: E[X_tj - X_tp | examples
before t] >= m. A bettor against G_jp for all p of a set S multiplies the capital at each example by

    1 + sum_p b_p (X_tp - X_tj + m) / (1 - m),  b_p >= 0,

whose expectation is at most 1 if they are all true. With the weights w_S of `FEW_SETS` or
`MANY_SETS`, the evidence of a set D of protectors against j is

    E_jD = sum over the sets S within D of w_S times the capital of S.

Backbone j may be dropped if, with D the protectors that stay in the race, E_jD has ever reached
1 / a.

**Claim.** With a probability of at least 1 - a, the best backbone leads some survivor by less than
m. Let b be the best one, and suppose that it is dropped and leads all survivors by m or more. Let T
be the protectors p for which G_bp is true. The protectors D that survive are among them, so that
E_bT >= E_bD reaches 1 / a. Bets for a protector use examples after its appointment alone. Until the
last protector is appointed, let the value be that of the sets whose protectors so far are in T, the
sets without a protector yet counted as their weight: an appointment can only take sets away. This
value is a nonnegative supermartingale that starts at 1 at most, whatever was appointed, and reaches
1 / a with a probability of at most a (Ville's inequality). No further correction is needed, however
many backbones race: the claim is about b alone. It holds for the best backbone and, in the same
way, for each other. A protector is dropped only if all that were dropped before may be dropped for
those that stay, so that small differences do not add up over a chain of drops.

**Protectors.** The first is the leader of the first look at which LEAST_FIRST examples are seen;
each further one is the first other leader of a later look. The set of all has most of the weight:
they all stay then, nearly always, and cost their images, but each other backbone is dropped for
those that turn out best, at hardly more than 1 / a. Of three, one may be dropped for the other two
with more evidence. Where few backbones race, a protector that has to stay costs more, and single
ones have more of the weight.

**Stakes.** They maximise the mean logarithm so far, to second order, with q / PRIOR_GAP^2 examples
of a tie added, q being the mean square of a difference. This shrinks a mean as if differences were
normal, and leads had a standard deviation of PRIOR_GAP: by 200 to 300 examples where answers are
right or wrong and a fifth to a quarter of them differ, and by 3 to 40 average precisions, which
differ less.

**Least values.** Where no value of the next examples can be below l, no factor is below 1 - (sum of
b_p) (1 - l / (1 - m)), so that stakes may be larger in proportion (`Race.least`).

**Zone.** It is given, or set at the first look at which LEAST_ZONE examples are seen: the smallest
lead that a one-sided paired test at the level of 5 % of the examples of a full run would call
significant (`least_significant_lead`), if two backbones differ as pairs of the better half do so
far. Until then bets are placed with m = 0, which are less favourable than with any zone. Average
precisions differ less as the gallery grows, and so does a significant lead. For values other than 0
and 1, the zone is set again at each look at which LEAST_ZONE further examples are seen, from these
alone, for the examples that follow. G_jp then says that j is better than p by m_t or more at each
example t, m_t being the zone that earlier examples have set for it, so that the capital stays a
supermartingale. The claim becomes that at one example at least, the best backbone leads some
survivor by less than the zone for it, and so by less than the largest (`TieRace.claimed_margin`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import bdtr

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.statistics.racing import (
    FIRST_STAKES,
    RENEWAL,
    Drop,
    Race,
    best_stakes,
    limited_stakes,
)

MANY_SETS = {0b011: 0.1, 0b101: 0.1, 0b110: 0.1, 0b111: 0.7}
"""Weights of sets of protectors, by the bits of their numbers, where many backbones race."""
FEW_SETS = {0b01: 0.3, 0b10: 0.3, 0b11: 0.4}
MANY = 12
"""Backbones of a race that are many."""
LEAST_FIRST = 20
"""Examples seen before a protector is appointed."""
LEAST_ZONE = 40
"""Examples from which the zone is set at least."""
PRIOR_GAP = 0.03
"""Standard deviation of leads by which stakes are shrunk to those for a tie."""
CORRELATION = 0.5
"""Of the differences of two protectors from a third backbone, in the examples of the prior."""
MOST_STAKED = 0.99
"""Share of the capital that may be lost at one example."""
NORMAL = 1.644854
"""The quantile 0.95 of the normal distribution."""
LEAST_DISCORDANT = 5
"""Discordant examples of which a significant lead has at least: 1 / 2^5 < 0.05 < 1 / 2^4."""
WIDEST_ZONE = 0.9
LEAST_EVIDENCE = 1e-300
"""Of a set of protectors, as a share of that of another, so that its logarithm is finite."""
HIGHEST_LEAST = 0.5
"""Least values count as this at most."""


@dataclass(eq=False)
class TieRace(Race):
    """The state of such a race. A `margin` of 0 is replaced by minus the zone that it sets.

    Looks follow each block: evidence depends on them, as they appoint protectors.
    """

    examples: int = 0
    """Examples of a full run, whose ties are let go."""
    _protectors: Ints = field(init=False)
    """(P,) backbones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.margin > 0 or self.total is not None:
            raise ValueError(
                "a race that lets go of ties has no margin above 0, and is about the population; "
                f"got margin {self.margin!r} and total {self.total!r}."
            )
        self._sets: Mapping[int, float] = MANY_SETS if self.count >= MANY else FEW_SETS
        self._protectors = np.zeros(0, np.int64)
        self._log_capital = np.zeros((self.count, len(self._sets)))
        self._highest = np.full((1, self.count), -np.inf)
        """(2^P, K) the most evidence so far of each set of protectors, by its bits; logarithms."""
        self._are_answers = True
        self._square = 0.0
        """Mean square difference of two backbones, by which stakes are shrunk."""
        self._sets_zone = self.margin == 0
        self._zone_seen, self._zone_products = 0, self._products.copy()
        """Examples seen when the zone was set, and the sums of products of values then."""
        self._claimed = self.margin
        self._stakes = np.zeros((*self._log_capital.shape, 0))

    @property
    def claimed_margin(self) -> float:
        """Minus the largest zone so far."""
        return self._claimed

    def add(self, values: Bools | Doubles) -> None:
        """Add a block of examples, values (B, K), then appoint a protector if it is time."""
        of_active = np.asarray(values, np.float64)[:, self.active]
        if (of_active < self.least - 1e-9).any():
            raise ValueError(f"values must not fall below {self.least:g}; got {of_active.min():g}.")
        super().add(values)
        self._are_answers &= bool(np.isin(of_active, (0.0, 1.0)).all())
        if self.active.any():
            self._set_zone()
            self._appoint()

    def rejected(self) -> list[Drop]:
        """Return the active backbones that may be dropped together, the worst first.

        The one with the largest sum of values is not among them.
        """
        may_drop = self._highest >= self._threshold()
        candidates = self.active & may_drop.any(0)
        candidates[self._leader()] = False
        active, gone = self.active.copy(), [drop.backbone for drop in self.drops]
        by_sum = np.argsort(self.sums, kind="stable")
        rejected = []
        for j in by_sum[candidates[by_sum]].tolist():
            left = active & (np.arange(self.count) != j)
            if may_drop[self._staying(left)][[*gone, j]].all():
                active = left
                gone.append(j)
                rejected.append(j)
        return [self._drop_of(j, active) for j in rejected]

    def log_evidence(self) -> Doubles:
        """Return (K,) the logarithm of the most evidence against each, of active protectors."""
        evidence: Doubles = np.maximum(self._highest[self._staying(self.active)], 0.0)
        for protector in self._protectors[self.active[self._protectors]].tolist():
            others = self.active & (np.arange(self.count) != protector)
            evidence[protector] = max(0.0, self._highest[self._staying(others), protector])
        return evidence

    def progress(self) -> Doubles:
        """Return (K,) the share of the logarithm of evidence that it takes to drop each, 0 to 1."""
        return np.clip(self.log_evidence() / self._threshold(), 0, 1)

    def _threshold(self) -> float:
        return float(-np.log(self.error))

    def _staying(self, active: Bools) -> int:
        """Return the set of protectors among some backbones (K,), as bits."""
        return sum(1 << i for i, p in enumerate(self._protectors.tolist()) if active[p])

    def _drop_of(self, j: int, active: Bools) -> Drop:
        """Return the drop of a backbone; its rival is the best protector among `active` ones."""
        protectors = self._protectors[active[self._protectors]]
        rival = int(protectors[self.sums[protectors].argmax()])
        evidence = float(self._highest[self._staying(active), j])
        return Drop(j, rival, self.seen, float(self.sums[j]), float(self.sums[rival]), evidence)

    def _appoint(self) -> None:
        """Make the leader a protector if it is time."""
        leader, limit = self._leader(), max(self._sets).bit_length()
        is_complete = len(self._protectors) == limit or leader in self._protectors
        if is_complete or self.seen < LEAST_FIRST:
            return
        self._protectors = np.append(self._protectors, leader)
        self._highest = np.concatenate([self._highest, self._highest])
        self._stakes = np.zeros((*self._log_capital.shape, len(self._protectors)))
        self._renewal = self.seen

    def _set_zone(self) -> None:
        """Set the zone if it is time, and the mean square of the stakes' prior."""
        is_time = self._sets_zone and self.seen - self._zone_seen >= LEAST_ZONE
        if self._square and not is_time:
            return
        self._square = self._mean_square()
        if is_time:
            lead = least_significant_lead(self._square, self.examples, self._are_answers)
            self.margin = -min(WIDEST_ZONE, lead)
            self._claimed = min(self._claimed, self.margin)
            self._sets_zone = not self._are_answers
            self._zone_seen, self._zone_products = self.seen, self._products.copy()
            self._renewal = max(self.seen, FIRST_STAKES)

    def _mean_square(self) -> float:
        """Return the mean square difference of pairs of the better half since the last zone."""
        best_first = np.argsort(np.where(self.active, -self.sums, np.inf), kind="stable")
        half = best_first[: max(2, int(self.active.sum()) // 2)]
        products = (self._products - self._zone_products)[np.ix_(half, half)]
        own = np.diag(products)
        squares = own[:, None] + own - 2 * products
        return float(squares[np.triu_indices(len(half), 1)].mean()) / (self.seen - self._zone_seen)

    def _bet(self, block: Doubles) -> None:
        """Multiply the capitals by their factors at each example of a block (B, K)."""
        if not len(self._protectors):
            return
        most = MOST_STAKED / (1 - min(HIGHEST_LEAST, self.least / (1 + self.margin)))
        takes_part = self.active[:, None] & self.active[self._protectors]
        stakes = limited_stakes(self._stakes, most) * takes_part[:, None]
        gains = block[:, None, self._protectors] - block[:, :, None]
        gains = (gains - self.margin) / (1 + self.margin)
        growth = np.log1p(np.einsum("ksp,bkp->bks", stakes, gains))
        paths = self._log_capital + np.cumsum(growth, axis=0)
        self._log_capital = paths[-1]
        self._highest[1:] = np.maximum(self._highest[1:], self._evidence(paths).max(0).T)

    def _evidence(self, of_sets: Doubles) -> Doubles:
        """Return (B, K, 2^P - 1) the evidence of sets that stay, of capitals (B, K, S) of sets."""
        bits = np.array([self._so_far(each) for each in self._sets])[:, None]
        staying = np.arange(1, len(self._highest))
        counts = (bits > 0) & (bits & ~staying == 0)
        weights = np.array(list(self._sets.values()))[:, None] * counts
        scale = of_sets.max(-1, keepdims=True)
        return np.asarray(scale + np.log(np.exp(of_sets - scale) @ weights + LEAST_EVIDENCE))

    def _so_far(self, bits: int) -> int:
        """Return those of a set of protectors that are appointed."""
        return bits & (len(self._highest) - 1)

    def _renew_stakes(self) -> None:
        """Choose the stakes (K, S, P) by the examples so far, for each set."""
        may_bet = self.active[:, None] & (self._protectors != np.arange(self.count)[:, None])
        of_sets = may_bet[:, None] & self._members()
        mean, square = (np.repeat(each, len(self._sets), 0) for each in self._moments_with_prior())
        stakes = best_stakes(mean, square, of_sets.reshape(mean.shape), np.inf)
        self._stakes = stakes.reshape(of_sets.shape)
        self._renewal = self.seen + max(FIRST_STAKES, self.seen // RENEWAL)

    def _members(self) -> Bools:
        """Return (S, P) which protectors are in each set, of sets of which all so far stay."""
        bits = np.array([self._so_far(each) for each in self._sets])[:, None]
        stays = bits & ~self._staying(self.active) == 0
        return np.asarray(stays & (bits >> np.arange(len(self._protectors)) & 1 > 0))

    def _moments_with_prior(self) -> tuple[Doubles, Doubles]:
        """Return the means (K, P) and mean products (K, P, P) of gains so far, with the prior."""
        prior = self._square / PRIOR_GAP**2
        protectors, zone, n = self._protectors, -self.margin, self.seen + prior
        mean = (self.sums[protectors] - self.sums[:, None]) / n
        of_prior = CORRELATION + (1 - CORRELATION) * np.eye(len(protectors))
        square = (self._difference_products(protectors) + prior * self._square * of_prior) / n
        square += zone * (mean[:, :, None] + mean[:, None]) + zone**2
        square += 1e-12 * np.eye(len(protectors))
        scale = 1 - zone
        return (mean + zone) / scale, square / scale**2

    def _difference_products(self, protectors: Ints) -> Doubles:
        """Return (K, R, R) the sums of products of the protectors' differences from each."""
        with_each = self._products[:, protectors]
        products = with_each[protectors] - with_each[:, :, None] - with_each[:, None]
        return np.asarray(products + np.diag(self._products)[:, None, None])


def least_significant_lead(square: float, examples: int, are_answers: bool) -> float:
    """Return the smallest lead of means that a one-sided paired test calls significant at 5 %.

    square: mean squared difference of two backbones' values. For right and wrong answers this is
    the share of discordant examples, and the test is the exact one of McNemar; for average
    precisions, 1.64 standard errors are a significant lead.
    """
    if not are_answers:
        return float(NORMAL * np.sqrt(square / examples))
    discordant = max(LEAST_DISCORDANT, round(square * examples))
    fewer = np.arange(discordant // 2 + 1)
    significant = bdtr(fewer, discordant, 0.5) < 0.05
    return float(discordant - 2 * fewer[significant].max()) / examples
