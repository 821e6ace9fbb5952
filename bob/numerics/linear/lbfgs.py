"""Limited-memory BFGS (Nocedal 1980) with a custom initial Hessian.

Its curvature pairs remain valid when the penalty changes.
"""

from collections import deque
from typing import Protocol

import torch
from torch import Tensor


class InitialHessian(Protocol):
    """H₀, positive definite."""

    def solve(self, vector: Tensor, /) -> Tensor:
        """Return  H₀⁻¹ vector."""
        ...


class CurvaturePairs:
    """The last steps s and changes of gradient y, each of the shape of θ."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=memory)

    def add(self, step: Tensor, change: Tensor) -> None:
        """Store a pair if the curvature along the step is positive beyond rounding."""
        curvature = _dot(step, change)
        if curvature > 1e-10 * (_dot(step, step) * _dot(change, change)) ** 0.5:
            self._pairs.append((step, change, curvature))

    def add_quadratic(self, coefficients: Tensor) -> None:
        """Update the pairs for an objective that grew by ½ Σ coefficients · θ².

        The Hessian of that term is exact, so that every pair stays exact: y ← y + coefficients · s.
        """
        old, self._pairs = self._pairs, deque(maxlen=self.memory)
        for step, change, _ in old:
            self.add(step, change + coefficients * step)

    def direction(self, gradient: Tensor, initial: InitialHessian) -> Tensor:
        """Return  -H⁻¹ gradient  (C, R + 1) by the two-loop recursion."""
        descent, projections = gradient.neg(), []
        for step, change, curvature in reversed(self._pairs):
            projection = _dot(step, descent) / curvature
            descent.add_(change, alpha=-projection)
            projections.append(projection)
        descent = initial.solve(descent).div_(self._scale(initial))
        for (step, change, curvature), projection in zip(
            self._pairs, reversed(projections), strict=True
        ):
            descent.add_(step, alpha=projection - _dot(change, descent) / curvature)
        return descent

    def _scale(self, initial: InitialHessian) -> float:
        """Return how much steeper the last pair is than H₀, which was taken at another θ."""
        if not self._pairs:
            return 1.0
        _, change, curvature = self._pairs[-1]
        return max(_dot(change, initial.solve(change)) / curvature, 1e-3)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
