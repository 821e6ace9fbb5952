"""The outcome of a classifier that learns its classes one task after another."""

from dataclasses import dataclass

from bob.numerics.arrays import Bools, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class IncrementalResults(ArrayOutcome):
    """Correctness on N test images after each of T tasks, among the classes seen so far."""

    right: Bools
    """(N, T) whether the best-scored class seen is the true one; False before its task."""
    task: Ints
    """(N,) the task, from 0, to which the image's class belongs."""

    def __post_init__(self) -> None:
        if self.right.ndim != 2 or self.task.shape != self.right.shape[:1]:
            raise ValueError(
                "right must have shape (N, T) and task (N,); "
                f"got {self.right.shape} and {self.task.shape}."
            )
