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
    raw = generator(seed, 0).random_raw(width * size)
    uniform = (np.asarray(raw) >> np.uint64(11)) * 2.0**-53 + 2.0**-54
    normal: Tensor = torch.special.ndtri(torch.from_numpy(uniform))
    return normal.reshape(width, size)


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
            self.hidden = self._hidden(x)
            self.gram = row_products(self.hidden.double())
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
            hidden = self._hidden(self.x[part]).double()
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

    def weights(self, seen: Ints, penalty: float) -> Tensor:
        """Return weights for the classes seen (S,): (M, S), or (N, S) of the rows they sum up."""
        weight = _solve(self._system(), penalty, self._right_side(seen))
        if not self.dual:
            return weight
        return weight.new_zeros(len(self.x), len(seen)).index_copy_(0, self.rows, weight)

    def scores(self, weights: Sequence[Tensor]) -> list[Doubles]:
        """Return the scores (Q, S) of the test rows for each of `weights`.

        All are multiplied at once, so that random features are computed once.
        """
        joined = torch.cat(list(weights), dim=1)
        if self.dual:
            of_rows, joined = joined, joined.new_zeros(self.hidden.shape[1], joined.shape[1])
            for part in slices(len(of_rows), ROWS):
                joined.addmm_(self.hidden[part].double().T, of_rows[part])
        rows = [self._hidden(part).double() @ joined for part in torch.split(self.test_x, ROWS)]
        sizes = [weight.shape[1] for weight in weights]
        return [scores.cpu().numpy() for scores in torch.split(torch.cat(rows), sizes, dim=1)]

    def _hidden(self, x: Tensor) -> Tensor:
        """Return the random features (n, M) in the projection's data type."""
        return (x.to(self.projection) @ self.projection).clamp_(min=0)

    def _system(self) -> Tensor:
        return self.gram[self.rows[:, None], self.rows] if self.dual else self.gram

    def _right_side(self, seen: Ints) -> Tensor:
        if self.dual:
            return self._targets(self.rows, seen)
        return self.sums[:, torch.from_numpy(seen).to(self.x.device)]

    def _left_side(self, rows: Tensor) -> Tensor:
        return (
            self.gram[rows[:, None], self.rows]
            if self.dual
            else self._hidden(self.x[rows]).double()
        )

    def _targets(self, rows: Tensor, seen: Ints) -> Tensor:
        """Return (n, S) 1 where the row is of the class."""
        classes = torch.from_numpy(seen).to(self.x.device)
        return (self.y[rows][:, None] == classes).to(self.x)
