"""The outcome of a clustering of labelled images."""

from dataclasses import dataclass

from bob.numerics.arrays import Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class ClusterAssignments(ArrayOutcome):
    """The clusters of N images, and their classes."""

    y: Ints
    """(N,) the class."""
    cluster: Ints
    """(N,) the cluster, from 0; its number means nothing."""

    def __post_init__(self) -> None:
        if self.y.shape != self.cluster.shape or self.y.ndim != 1:
            raise ValueError(
                f"y and cluster must both have shape (N,); got {self.y.shape} and "
                f"{self.cluster.shape}."
            )
