"""Outcomes of a logistic regression on held-out rows, and their paired comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
import torch

from bob.numerics.arrays import Doubles
from bob.numerics.linear.path_solver import LogisticProblem
from bob.numerics.linear.softmax import Evaluation

STANDARD_ERRORS = 1.0
"""A value is worse than another if its paired outcomes are by more than this many standard errors.

Within one, the data does not say which of two is better.
"""


@dataclass(frozen=True, eq=False)
class HeldOutScore:
    """Outcomes of one C on the held-out rows of all folds."""

    c: float
    right: Sequence[Doubles]
    """Per fold (H,): 1 where the prediction is right, else 0."""
    loss: Sequence[Doubles]
    """Per fold (H,): cross-entropy, nats."""
    precise: bool
    """Whether the solution is the one that the choice is made by, rather than a first one."""

    @cached_property
    def top1(self) -> float:
        """Mean over folds."""
        return float(np.mean([fold.mean() for fold in self.right]))

    @cached_property
    def log_loss(self) -> float:
        """Mean over folds."""
        return float(np.mean([fold.mean() for fold in self.loss]))

    @property
    def rank(self) -> tuple[float, float, float]:
        """Order: highest top-1, then lowest log-loss, then strongest regularisation."""
        return self.top1, -self.log_loss, -self.c

    @property
    def rows(self) -> int:
        """Number of held-out rows."""
        return sum(len(fold) for fold in self.right)

    def fewer_right(self, other: "HeldOutScore") -> bool:
        """Whether this is right on fewer rows, beyond the standard error of the paired outcomes."""
        return _exceeds_its_error(np.concatenate(other.right) - np.concatenate(self.right))

    def less_likely(self, other: "HeldOutScore") -> bool:
        """Whether this has a higher log-loss, beyond the standard error of the paired losses."""
        return _exceeds_its_error(np.concatenate(self.loss) - np.concatenate(other.loss))

    def same_rows_right(self, other: "HeldOutScore") -> bool:
        """Whether both are right on the same rows."""
        return all(map(np.array_equal, self.right, other.right))


def _exceeds_its_error(differences: Doubles) -> bool:
    """Whether the mean of differences (H,) is above its standard error if their true mean is 0.

    This is McNemar's error for outcomes: one row more that is right is not beyond it.
    """
    error = STANDARD_ERRORS * sqrt(float(np.square(differences).sum()))
    return float(differences.sum()) > error


def outcomes(held_out: LogisticProblem, evaluation: Evaluation) -> tuple[Doubles, Doubles]:
    """Return whether each prediction of held-out rows is right (H,), and the cross-entropies."""
    blocks, y = held_out.fast, held_out.y
    theta = evaluation.theta.to(blocks.dtype)
    weight, right, loss = blocks.to_blocks(theta[:, :-1]), [], []
    for rows in blocks.slices:
        logits = torch.addmm(theta[:, -1:], weight, blocks.block(rows).T)
        right.append(logits.argmax(0) == y[rows])
        loss.append(torch.nn.functional.cross_entropy(logits.T, y[rows], reduction="none"))
    return torch.cat(right).double().cpu().numpy(), torch.cat(loss).double().cpu().numpy()
