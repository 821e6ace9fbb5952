"""The outcome of following objects through videos: how well each object's masks agree."""

from dataclasses import dataclass

from bob.numerics.arrays import Doubles
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class FollowedObjects(ArrayOutcome):
    """Agreement of N objects' masks, each averaged over its video's frames but first and last."""

    region: Doubles
    """(N,) J, intersection over union."""
    boundary: Doubles
    """(N,) F of boundaries."""
