"""Limited-memory BFGS (Nocedal 1980) with a custom initial Hessian.

Its curvature pairs remain valid when the penalty changes. The two-loop recursion is computed in the
compact form of Byrd, Nocedal and Schnabel (1994, doi:10.1007/BF01582063): with the pairs as rows of
S and Y, oldest first, R the upper triangle of S Yᵀ and D its diagonal,

    α = R⁻¹ S d        r = H₀⁻¹ (d - Yᵀ α)        H⁻¹ d = r + Sᵀ R⁻ᵀ (D α - Y r),

four products with matrices in place of four vector operations for each pair.
"""

from typing import Protocol

import torch
from torch import Tensor

LEAST_COSINE = 1e-10
"""Pairs whose curvature is a smaller share of |s||y| are rounding."""


class InitialHessian(Protocol):
    """H₀, positive definite."""

    def solve(self, vector: Tensor, /) -> Tensor:
        """Return  H₀⁻¹ vector."""
        ...


class CurvaturePairs:
    """The last steps s and changes of gradient y, each of the shape of θ."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._order: list[int] = []
        """Rows of the matrices in use, oldest first."""
        self._steps = self._changes = self._products = torch.empty(0)
        """S and Y (memory, entries of θ), and S Yᵀ (memory, memory) float64."""

    def __len__(self) -> int:
        return len(self._order)

    def add(self, step: Tensor, change: Tensor) -> None:
        """Store a pair if the curvature along the step is positive beyond rounding."""
        s, y = step.flatten(), change.flatten()
        curvature = float(torch.dot(s, y))
        if curvature <= LEAST_COSINE * float(s.norm()) * float(y.norm()):
            return
        if self._steps.dtype != s.dtype or not len(self._steps):
            self._order = []
            self._steps, self._changes = (s.new_zeros(self.memory, len(s)) for _ in range(2))
            self._products = s.new_zeros(self.memory, self.memory, dtype=torch.float64)
        if len(self._order) < self.memory:
            row = next(row for row in range(self.memory) if row not in self._order)
        else:
            row = self._order.pop(0)
        self._order.append(row)
        self._steps[row], self._changes[row] = s, y
        self._products[row] = self._changes @ s
        self._products[:, row] = self._steps @ y

    def add_quadratic(self, coefficients: Tensor) -> None:
        """Update the pairs for an objective that grew by ½ Σ coefficients · θ².

        The Hessian of that term is exact, so that every pair stays exact: y ← y + coefficients · s.
        """
        if not self._order:
            return
        for step, change in zip(self._steps, self._changes, strict=True):
            change.view(-1, len(coefficients)).add_(step.view(-1, len(coefficients)) * coefficients)
        self._products = (self._steps @ self._changes.T).double()
        sizes = self._steps.norm(dim=1) * self._changes.norm(dim=1)
        positive = self._products.diagonal() > LEAST_COSINE * sizes
        self._order = [row for row in self._order if positive[row]]

    def direction(self, gradient: Tensor, initial: InitialHessian) -> Tensor:
        """Return  -H⁻¹ gradient  (C, R + 1)."""
        if not self._order:
            return initial.solve(gradient.neg())
        order = torch.tensor(self._order, device=gradient.device)
        products = self._products[order][:, order]
        triangle = products.triu()
        descent = gradient.neg().flatten()
        right = (self._steps @ descent)[order].double()
        projections = torch.linalg.solve_triangular(triangle, right[:, None], upper=True)[:, 0]
        descent -= self._weighted(self._changes, order, projections)
        descent = initial.solve(descent.view_as(gradient)).div_(self._scale(initial, gradient))
        remaining = (self._changes @ descent.flatten())[order].double()
        right = products.diagonal() * projections - remaining
        weights = torch.linalg.solve_triangular(triangle.T, right[:, None], upper=False)[:, 0]
        return descent + self._weighted(self._steps, order, weights).view_as(gradient)

    def _weighted(self, rows: Tensor, order: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum of the rows in `order`."""
        all_weights = rows.new_zeros(len(rows))
        all_weights[order] = weights.to(rows.dtype)
        return all_weights @ rows

    def _scale(self, initial: InitialHessian, like: Tensor) -> float:
        """Return how much steeper the last pair is than H₀, which was taken at another θ."""
        last = self._order[-1]
        change = self._changes[last].view_as(like)
        steepness = torch.dot(change.flatten(), initial.solve(change).flatten())
        return max(float(steepness / self._products[last, last]), 1e-3)
