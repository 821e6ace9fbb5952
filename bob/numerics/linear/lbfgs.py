"""Limited-memory BFGS (Nocedal 1980): an initial Hessian of one's own, and pairs that survive a change of penalty."""

from collections import deque
from typing import Protocol

import torch
from torch import Tensor


class Initial(Protocol):
    """H₀, positive definite."""

    def divide(self, vector: Tensor, /) -> Tensor:
        """H₀⁻¹ vector, float32."""
        ...


class Pairs:
    """The last steps s and changes of gradient y, each of one fixed shape."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=memory)

    def add(self, step: Tensor, change: Tensor) -> None:
        """Keep a pair where the curvature along the step is positive beyond rounding."""
        curvature = _dot(step, change)
        if curvature > 1e-10 * (_dot(step, step) * _dot(change, change)) ** 0.5:
            self._pairs.append((step, change, curvature))

    def shift(self, penalised: Tensor) -> None:
        """The penalty grew by ½ Σ `penalised` · θ²: its Hessian is known exactly, so every pair stays true (y ← y + penalised · s)."""
        old, self._pairs = self._pairs, deque(maxlen=self.memory)
        for step, change, _ in old:
            self.add(step, change + penalised * step)

    def direction(self, gradient: Tensor, initial: Initial) -> Tensor:
        """-H⁻¹ gradient by the two-loop recursion, (C, R + 1)."""
        descent, shares = gradient.neg(), []
        for step, change, curvature in reversed(self._pairs):
            share = _dot(step, descent) / curvature
            descent.add_(change, alpha=-share)
            shares.append(share)
        descent = initial.divide(descent).div_(self._stretch(initial))
        for (step, change, curvature), share in zip(self._pairs, reversed(shares), strict=True):
            descent.add_(step, alpha=share - _dot(change, descent) / curvature)
        return descent

    def _stretch(self, initial: Initial) -> float:
        """How much steeper the last pair is than the initial Hessian, whose own scale is that of another point."""
        if not self._pairs:
            return 1.0
        _, change, curvature = self._pairs[-1]
        return max(_dot(change, initial.divide(change)) / curvature, 1e-3)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
