"""Heads that learn classes one task after another from sums over rows, exactly.

Both heads see the rows of a task once, keep sums, and give the scores that the sums of all rows so
far determine, so that after the last task neither the order of tasks nor their number matters.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bob.numerics.arrays import Doubles, Ints
from bob.numerics.sampling import generator
from bob.numerics.search.chunks import slices
from bob.numerics.shifted_systems import shifted_products

ROWS = 4096
"""Rows whose random features are in memory at once."""
PRODUCT_ROWS = 256
"""Rows that are multiplied at once by themselves and by those before them."""


class IncrementalLda:
    """Linear discriminants under one covariance within classes, without priors.

    With class means μ and the pooled scatter Σ = (1/n) Σᵢ (xᵢ − μ)(xᵢ − μ)ᵀ, a class has the score
    μᵀΛx − μᵀΛμ / 2, where Λ = ((1 − ε) Σ + ε I)⁻¹ (Hayes & Kanan 2020, arXiv:1909.01520). The
    official stream updates Σ with the mean before each row, and so depends on the order of rows;
    here Σ is the scatter of all rows so far.
    """

    def __init__(self, classes: int, width: int, epsilon: float, device: str) -> None:
        self.means = torch.zeros(classes, width, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(width, width, dtype=torch.float64, device=device)
        self.epsilon, self.count = epsilon, 0

    def learn(self, x: Tensor, y: Ints) -> None:
        """Add rows (n, D), float64, of classes (n,) that were not learned before."""
        for c in np.unique(y):
            rows = x[torch.from_numpy(y == c)]
            self.means[c] = rows.mean(0)
            centred = rows - self.means[c]
            self.scatter += centred.T @ centred
        self.count += len(y)

    def scores(self, queries: Tensor, seen: Ints) -> Doubles:
        """Return the scores (Q, S) of queries (Q, D) for the classes seen (S,)."""
        shrunk = self.scatter * ((1 - self.epsilon) / self.count)
        means = self.means[torch.from_numpy(seen)]
        weight = _solve(shrunk, self.epsilon, means.T)
        scores: Doubles = (queries @ weight - (means.T * weight).sum(0) / 2).cpu().numpy()
        return scores


def random_projection(width: int, size: int, seed: int) -> Tensor:
    """Return W (D, M), standard normal, from the raw bits of the seed."""
    from scipy.special import ndtri

    raw = generator(seed, 0).random_raw(width * size)
    uniform = (np.asarray(raw) >> np.uint64(11)) * 2.0**-53 + 2.0**-54
    return torch.from_numpy(ndtri(uniform).reshape(width, size))


def row_products(rows: Tensor) -> Tensor:
    """Return the products (N, N) of all pairs of rows (N, D), each pair multiplied once."""
    products = rows.new_empty(len(rows), len(rows))
    for part in slices(len(rows), PRODUCT_ROWS):
        block = rows[part] @ rows[: part.stop].T
        products[part, : part.stop] = block
        products[: part.start, part] = block[:, : part.start].T
    return products


def _solve(system: Tensor, penalty: float, right: Tensor) -> Tensor:
    """Return (A + λI)⁻¹B (n, k) of a positive semi-definite A (n, n)."""
    system = system.clone()
    system.diagonal().add_(penalty)
    factor, failed = torch.linalg.cholesky_ex(system)
    # the factor fails where λ is below the rounding of A
    solution: Tensor = (
        torch.linalg.solve(system, right) if failed else torch.cholesky_solve(right, factor)
    )
    return solution


class RandomRidge:
    """Ridge regression without intercept of one-hot targets on h = ReLU(xW), row by row.

    Scores are h (HᵀH + λI)⁻¹ HᵀY for the rows H added so far. With at most M of them in the end
    they come from products of rows, h Hᵀ (HHᵀ + λI)⁻¹ Y, which is the same.
    """

    def __init__(
        self, x: Tensor, y: Ints, test_x: Tensor, projection: Tensor, classes: int
    ) -> None:
        """Take all train rows (N, D) and test rows (Q, D), float64; none is added yet.

        `projection` (D, M) is float32 or float64.
        """
        self.x, self.test_x, self.projection = x, test_x, projection
        self.y = torch.from_numpy(y).to(x.device)
        self.rows = torch.empty(0, dtype=torch.int64, device=x.device)
        self.dual, size = len(x) <= projection.shape[1], projection.shape[1]
        if self.dual:
            hidden = self._hidden(x)
            self.gram, self.test_gram = row_products(hidden), self._hidden(test_x) @ hidden.T
        else:
            self.gram = x.new_zeros(size, size)
            self.sums = x.new_zeros(size, classes)

    def add(self, rows: Ints) -> None:
        """Add train rows, by their positions (n,)."""
        index = torch.from_numpy(rows).to(self.x.device)
        self.rows = torch.cat([self.rows, index])
        if self.dual:
            return
        for part in torch.split(index, ROWS):
            hidden = self._hidden(self.x[part])
            self.gram.addmm_(hidden.T, hidden)
            self.sums.index_add_(1, self.y[part], hidden.T.contiguous())

    def errors(self, held: Ints, seen: Ints, penalties: Sequence[float]) -> Doubles:
        """Return the mean squared error on train rows `held` (m,) for each penalty."""
        index = torch.from_numpy(held).to(self.x.device)
        wanted = self._targets(index, seen)
        products = shifted_products(
            self._system(), self._left_side(index), self._right_side(seen), penalties
        )
        return np.array([float((product - wanted).square().mean()) for product in products])

    def scores(self, seen: Ints, penalty: float) -> Doubles:
        """Return the scores (Q, S) of the test rows for the classes seen (S,)."""
        weight = _solve(self._system(), penalty, self._right_side(seen))
        if self.dual:
            scores = self.test_gram[:, self.rows] @ weight
        else:
            parts = torch.split(self.test_x, ROWS)
            scores = torch.cat([self._hidden(part) @ weight for part in parts])
        values: Doubles = scores.cpu().numpy()
        return values

    def _hidden(self, x: Tensor) -> Tensor:
        """Return the random features (n, M), float64, computed in the projection's data type."""
        return (x.to(self.projection) @ self.projection).clamp_(min=0).double()

    def _system(self) -> Tensor:
        return self.gram[self.rows[:, None], self.rows] if self.dual else self.gram

    def _right_side(self, seen: Ints) -> Tensor:
        if self.dual:
            return self._targets(self.rows, seen)
        return self.sums[:, torch.from_numpy(seen).to(self.x.device)]

    def _left_side(self, rows: Tensor) -> Tensor:
        return self.gram[rows[:, None], self.rows] if self.dual else self._hidden(self.x[rows])

    def _targets(self, rows: Tensor, seen: Ints) -> Tensor:
        """Return (n, S) 1 where the row is of the class."""
        classes = torch.from_numpy(seen).to(self.x.device)
        return (self.y[rows][:, None] == classes).to(self.x)
