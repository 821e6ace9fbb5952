"""Limited-memory BFGS (Nocedal 1980): an initial Hessian diagonal around each class, and pairs that survive a change of penalty."""

from collections import deque

import torch
from torch import Tensor


class Pairs:
    """The last steps s and changes of gradient y, each of one fixed shape."""

    def __init__(self, memory: int) -> None:
        self._pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=memory)

    def add(self, step: Tensor, change: Tensor) -> None:
        """Keep a pair where the curvature along the step is positive beyond rounding."""
        curvature = _dot(step, change)
        if curvature > 1e-10 * (_dot(step, step) * _dot(change, change)) ** 0.5:
            self._pairs.append((step, change, curvature))

    def shift(self, penalised: Tensor) -> None:
        """The penalty grew by ½ Σ `penalised` · θ²: its Hessian is known exactly, so every pair stays true (y ← y + penalised · s)."""
        old, self._pairs = self._pairs, deque(maxlen=self._pairs.maxlen)
        for step, change, _ in old:
            self.add(step, change + penalised * step)

    def direction(self, gradient: Tensor, diagonal: Tensor, shift: Tensor) -> Tensor:
        """-H⁻¹ gradient by the two-loop recursion, (C, R + 1); the initial Hessian is described by `_divide`."""
        descent, shares = gradient.neg(), []
        for step, change, curvature in reversed(self._pairs):
            share = _dot(step, descent) / curvature
            descent.add_(change, alpha=-share)
            shares.append(share)
        descent = _divide(descent, diagonal, shift).div_(self._stretch(diagonal, shift))
        for (step, change, curvature), share in zip(self._pairs, reversed(shares), strict=True):
            descent.add_(step, alpha=share - _dot(change, descent) / curvature)
        return descent

    def _stretch(self, diagonal: Tensor, shift: Tensor) -> float:
        """How much steeper the last pair is than the initial Hessian, whose own scale knows only averages."""
        if not self._pairs:
            return 1.0
        _, change, curvature = self._pairs[-1]
        return _dot(change, _divide(change, diagonal, shift)) / curvature


def _divide(vector: Tensor, diagonal: Tensor, shift: Tensor) -> Tensor:
    """H₀⁻¹ vector, where H₀ is diagonal once row c's features are moved by -m_c: w stays, b becomes b + m_c·w."""
    weight = (vector[:, :-1] - shift * vector[:, -1:]) / diagonal[:, :-1]
    bias = vector[:, -1] / diagonal[:, -1] - (shift * weight).sum(1)
    return torch.cat((weight, bias[:, None]), 1)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
