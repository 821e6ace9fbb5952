"""How the backbones of a race stand after a look: means with intervals, for the eye."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bob.numerics.arrays import Doubles
from bob.statistics.limits import mean_of_bounded
from bob.statistics.racing import Race

Look = tuple[int, float, float, float]
"""Images embedded with a backbone, its mean value, and the 95 % limits of that."""


@dataclass(frozen=True)
class RaceStanding:
    """A backbone after a look, or when it was dropped. No decision rests on the interval."""

    name: str
    mean: float
    low: float
    high: float
    """Mean value of the examples scored, with its 95 % limits at this look alone."""
    examples: int
    images: int
    """Images embedded with it."""
    progress: float
    """Share of the logarithm of evidence that it takes to drop it, 0 to 1."""
    is_dropped: bool = False


@dataclass(eq=False)
class RaceStandings:
    """The values that the backbones of a race have had so far."""

    names: Sequence[str]
    _values: list[list[Doubles]] = field(init=False)
    _last: dict[str, RaceStanding] = field(init=False, default_factory=dict)
    _looks: dict[str, list[RaceStanding]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._values = [[] for _ in self.names]

    def after(self, race: Race, values: Doubles, images: int) -> tuple[RaceStanding, ...]:
        """Return the standings after a look at values (M, K), the best first, dropped ones last.

        `images` were embedded with each backbone that was not dropped at an earlier look.
        """
        progress = race.progress()
        dropped = {drop.backbone for drop in race.drops}
        for at, name in enumerate(self.names):
            if name in self._last and self._last[name].is_dropped:
                continue
            if not race.active[at] and at not in dropped:  # it failed
                self._last.pop(name, None)
                continue
            self._values[at].append(values[:, at])
            of_backbone = np.concatenate(self._values[at])
            low, high = mean_of_bounded(of_backbone)
            self._last[name] = RaceStanding(
                name,
                float(of_backbone.mean()),
                float(low),
                float(high),
                len(of_backbone),
                images,
                float(progress[at]),
            )
            self._looks.setdefault(name, []).append(self._last[name])
        for at in dropped:
            self._last[self.names[at]] = replace(self._last[self.names[at]], is_dropped=True)
        by_rank = sorted(self._last.values(), key=lambda each: (each.is_dropped, -each.mean))
        return tuple(by_rank)

    def looks(self, name: str) -> list[Look]:
        """Return how a backbone stood after each look until now, or until it was dropped."""
        return [(each.images, each.mean, each.low, each.high) for each in self._looks[name]]
