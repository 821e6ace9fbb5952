"""A race that lets go of ties: a survivor is the best, or hardly worse than it.

Notation is that of `bob.statistics.racing`. Let z > 0 be the zone. Some backbones P are appointed
*protectors* during the race, and are never dropped. A bettor against backbone j stakes c_i on the
LEADERS best backbones i so far, and b_p on the protectors p. At each example the capital is
multiplied by

    1 + sum_i c_i (X_ti - X_tj) + sum_p b_p (X_tp - X_tj + z) / (1 - z),  c_i, b_p >= 0,

with stakes that depend on earlier examples, and p on examples after its appointment alone. Backbone
j, unless it is a protector, may be dropped when its capital has ever reached 1 / a.

**Claim.** With a probability of at least 1 - a, the best backbone leads some survivor by less than
z. Let b be the best one: E[X_ti - X_tb | examples before t] <= 0 for all i and t. Suppose that it
is dropped, and leads all survivors by z or more at each example. Protectors survive, so that
E[X_tp - X_tb + z | examples before t] <= 0 for each p that is ever appointed. Let M be the capital
against b, which stays as it is from the first appointment of a protector that b does not lead by z
or more. Every bet in M is unfavourable, so that M is a nonnegative supermartingale that starts at
1. It reaches 1 / a with a probability of at most a (Ville's inequality), and it is the capital if b
leads all protectors by z or more. So the probability that b is dropped and leads all survivors by z
or more is at most a, however many backbones race, and whenever and for whatever reason protectors
are appointed.

A backbone that is behind a leader may thus be dropped whoever survives, and one that is tied with
the best for protectors alone. A protector costs its images, and those that turn out worse than
others let go of less.

**Protectors.** The first is the leader of the first look at which LEAST_FIRST examples are seen;
each further one is the first other leader of a look with NEXT times as many examples as at the last
appointment. Where few backbones race there are fewer, as each costs a larger share of the images.

**Stakes.** They maximise the mean logarithm so far, to second order, with q / PRIOR_GAP^2 examples
of a tie added, q being the mean square of a difference. This shrinks a mean as if differences were
normal, and leads had a standard deviation of PRIOR_GAP: by 200 to 300 examples where answers are
right or wrong and a fifth to a quarter of them differ, and by 3 to 40 average precisions, which
differ less. Nothing is staked on the first LEAST_STAKES examples.

**Least values.** Where no value of the next examples can be below l, a stake of 1 loses 1 - l at
most, or 1 - l / (1 - z) on a protector, so that more may be staked in proportion (`Race.least`).
Stakes are the best of those that cannot lose more than MOST_STAKED (`bounded_stakes`): where little
is lost on average, as with average precisions, they are on the best rivals alone.

**Zone.** It is given, or set at the first look at which LEAST_ZONE examples are seen: the smallest
lead that a one-sided paired test at the level of 5 % of the examples of a full run would call
significant (`least_significant_lead`), if two backbones differ as pairs of the better half do so
far. Until then bets are placed with z = 0, which are less favourable than with any zone. Average
precisions differ less as the gallery grows, and so does a significant lead. For values other than 0
and 1, the zone is set again at each look at which LEAST_ZONE further examples are seen, from these
alone, for the examples that follow. What is supposed is then that b leads all survivors by z_t or
more at each example t, z_t being the zone that earlier examples have set for it, so that the
capital stays a supermartingale. The claim becomes that at one example at least, the best backbone
leads some survivor by less than the zone for it, and so by less than the largest
(`TieRace.claimed_margin`).
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import bdtr

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.statistics.racing import (
    FIRST_STAKES,
    RENEWAL,
    Race,
    best_stakes,
    limited_stakes,
)

LEADERS = 4
"""Number of the best backbones so far that are staked on beside the protectors."""
LEAST_STAKES = 20
"""Examples seen before anything is staked."""
LEAST_FIRST, NEXT = 60, 2
"""Examples seen before a protector is appointed; and how many times as many as at the last
appointment before the next one."""
MOST_PROTECTORS, MANY = 3, 12
"""Of a race with twice so many backbones or more; with fewer than 12 there is one, else two."""
LEAST_ZONE = 40
"""Examples from which the zone is set at least."""
PRIOR_GAP = 0.03
"""Standard deviation of leads by which stakes are shrunk to those for a tie."""
CORRELATION = 0.5
"""Of the differences of two rivals from a third backbone, in the examples of the prior."""
MOST_STAKED = 0.99
"""Share of the capital that may be lost at one example."""
BISECTIONS = 24
NORMAL = 1.644854
"""The quantile 0.95 of the normal distribution."""
LEAST_DISCORDANT = 5
"""Discordant examples of which a significant lead has at least: 1 / 2^5 < 0.05 < 1 / 2^4."""
WIDEST_ZONE = 0.9
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
        self._protectors = np.zeros(0, np.int64)
        self._appointed = 0
        """Examples seen at the last appointment."""
        self._highest = np.zeros(self.count)
        """(K,) the most evidence so far against each backbone; logarithms."""
        self._are_answers = True
        self._sets_zone = self.margin == 0
        self._zone_seen, self._zone_products = 0, self._products.copy()
        """Examples seen when the zone was set, and the sums of products of values then."""
        self._claimed = self.margin
        self._renewal = LEAST_STAKES

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

    def log_evidence(self) -> Doubles:
        """Return (K,) the logarithm of the most evidence so far against each backbone."""
        return self._highest

    def adjusted_log_evidence(self) -> Doubles:
        """Return (K,) the same, but 0 for protectors, which are never dropped."""
        evidence = self.log_evidence().copy()
        evidence[self._protectors] = 0.0
        return evidence

    def _appoint(self) -> None:
        """Make the leader a protector if it is time."""
        leader = self._leader()
        is_complete = len(self._protectors) == min(MOST_PROTECTORS, 1 + self.count // MANY)
        is_time = self.seen >= max(LEAST_FIRST, NEXT * self._appointed)
        if is_complete or leader in self._protectors or not is_time:
            return
        self._protectors = np.append(self._protectors, leader)
        self._appointed = self.seen
        self._renewal = self.seen

    def _set_zone(self) -> None:
        """Set the zone if it is time."""
        examples = self.seen - self._zone_seen
        if not self._sets_zone or examples < LEAST_ZONE:
            return
        square = self._mean_square(self._products - self._zone_products, examples)
        lead = least_significant_lead(square, self.examples, self._are_answers)
        self.margin = -min(WIDEST_ZONE, lead)
        self._claimed = min(self._claimed, self.margin)
        self._sets_zone = not self._are_answers
        self._zone_seen, self._zone_products = self.seen, self._products.copy()
        self._renewal = max(self.seen, LEAST_STAKES)

    def _mean_square(self, products: Doubles, examples: int) -> float:
        """Return the mean square difference of pairs of the better half, of sums of products."""
        best_first = np.argsort(np.where(self.active, -self.sums, np.inf), kind="stable")
        half = best_first[: max(2, int(self.active.sum()) // 2)]
        products = products[np.ix_(half, half)]
        own = np.diag(products)
        squares = own[:, None] + own - 2 * products
        return float(squares[np.triu_indices(len(half), 1)].mean()) / examples

    def _bet(self, block: Doubles) -> None:
        """Multiply the capitals by their factors at each example of a block (B, K)."""
        if not len(self._rivals):
            return
        zones = self._zones()
        losses = self._largest_losses()
        takes_part = self.active[:, None] & self.active[self._rivals]
        stakes = limited_stakes(self._stakes * losses, MOST_STAKED) / losses * takes_part
        gains = (block[:, None, self._rivals] - block[:, :, None] + zones) / (1 - zones)
        paths = self._log_capital + np.cumsum(np.log1p((stakes * gains).sum(-1)), axis=0)
        self._log_capital = paths[-1]
        self._highest = np.maximum(self._highest, paths.max(0))

    def _zones(self) -> Doubles:
        """Return (R,) the lead of each rival that bets suppose: the zone for protectors, else 0."""
        return np.where(np.isin(self._rivals, self._protectors), -self.margin, 0.0)

    def _largest_losses(self) -> Doubles:
        """Return (R,) what a stake of 1 on each rival can lose at most."""
        return 1 - np.minimum(HIGHEST_LEAST, self.least / (1 - self._zones()))

    def _renew_stakes(self) -> None:
        """Choose rivals and stakes by the examples so far."""
        best_first = np.argsort(np.where(self.active, -self.sums, np.inf), kind="stable")
        leaders = best_first[: min(LEADERS, int(self.active.sum()))]
        staying = self._protectors[self.active[self._protectors]]
        self._rivals = np.concatenate([staying, leaders[~np.isin(leaders, staying)]])
        may_bet = self._rivals != np.arange(self.count)[:, None]
        moments = self._moments_with_prior()
        self._stakes = bounded_stakes(*moments, may_bet, self._largest_losses())
        self._renewal = self.seen + max(FIRST_STAKES, self.seen // RENEWAL)

    def _moments_with_prior(self) -> tuple[Doubles, Doubles]:
        """Return the means (K, R) and mean products (K, R, R) of gains so far, with the prior."""
        of_pairs = self._mean_square(self._products, self.seen)
        prior = of_pairs / PRIOR_GAP**2
        rivals, zones, n = self._rivals, self._zones(), self.seen + prior
        mean = self._leads() / n
        of_prior = CORRELATION + (1 - CORRELATION) * np.eye(len(rivals))
        square = (self._difference_products(rivals) + prior * of_pairs * of_prior) / n
        square += zones[:, None] * mean[:, None] + zones * mean[:, :, None]
        square += np.outer(zones, zones) + 1e-12 * np.eye(len(rivals))
        scale = 1 - zones
        return (mean + zones) / scale, square / np.outer(scale, scale)

    def _difference_products(self, rivals: Ints) -> Doubles:
        """Return (K, R, R) the sums of products of the rivals' differences from each."""
        with_each = self._products[:, rivals]
        products = with_each[rivals] - with_each[:, :, None] - with_each[:, None]
        return np.asarray(products + np.diag(self._products)[:, None, None])


def bounded_stakes(mean: Doubles, square: Doubles, can_gain: Bools, losses: Doubles) -> Doubles:
    """Return the stakes of `best_stakes` (K, R) among those that can lose MOST_STAKED at most.

    losses (R,) are what a stake of 1 on each rival can lose. Stakes that are too high are those for
    a price on losses, which bisection finds.
    """
    low = np.zeros((len(mean), 1))
    high = (mean / losses).max(-1, keepdims=True, initial=0.0)
    stakes = best_stakes(mean, square, can_gain, np.inf)
    is_too_high = (stakes @ losses > MOST_STAKED)[:, None]
    if not is_too_high.any():
        return stakes
    for _ in range(BISECTIONS):
        price = (low + high) / 2
        priced = best_stakes(mean - price * losses, square, can_gain, np.inf)
        is_low = (priced @ losses > MOST_STAKED)[:, None]
        low, high = np.where(is_low, price, low), np.where(is_low, high, price)
    priced = best_stakes(mean - high * losses, square, can_gain, np.inf)
    return np.where(is_too_high, priced, stakes)


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
