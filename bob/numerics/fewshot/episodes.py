"""Heads for many episodes at once, from the products of their rows.

An episode of N ways and K shots needs only the products of its N · K support rows with each other
and with its queries. They are looked up in the products of all rows where that is cheaper, else
computed for each episode while its rows are in the processor's cache.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bob.numerics import centroid
from bob.numerics.arrays import Doubles, Ints
from bob.numerics.linear import batched_dual
from bob.numerics.matmul import product
from bob.numerics.threads import map_stripes

Products = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps support rows (E, n) and query rows (E, Q) to the products of the support with itself
(E, n, n), and of the queries with it (E, Q, n)."""

BATCH_EPISODES, BATCH_BYTES = 128, 64 << 20
"""Largest number of episodes that a worker solves at once, and largest size of their products."""
TABLE_CELLS = 1 << 26
"""The products of all rows are computed once where they are at most this many (256 MiB) and at most
`TABLE_FACTOR` times those of the episodes."""
TABLE_FACTOR = 4
"""A product within one large matrix costs less than one of gathered rows by more than this factor
(measured: 6 to 10)."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """E episodes of N classes."""

    support: Ints
    """(E, N · K) train rows, class by class."""
    query: Ints
    """(E, N · queries) test rows, class by class."""
    ways: int
    """N."""

    def __len__(self) -> int:
        """Return E."""
        return len(self.support)


def episode_accuracies(
    episodes: Episodes, x: Tensor, test_x: Tensor, heads: Sequence[str], l2: float
) -> tuple[Doubles, float]:
    """Return the share of queries predicted right (heads, E), and the largest gap.

    x (N, D) and test_x (Q, D) are rows of length 1, moved to one common origin. In an episode whose
    support rows are all equal, all classes tie, and the share is that of guesses.
    """
    products = _looked_up if _table_pays(episodes, len(x), len(test_x)) else _gathered
    support, query = episodes.support.shape[1], episodes.query.shape[1]
    size = max(1, min(BATCH_EPISODES, BATCH_BYTES // (4 * support * (support + query))))
    starts = range(0, len(episodes), size)
    batches = [slice(start, min(start + size, len(episodes))) for start in starts]
    workers = torch.get_num_threads() if x.device.type == "cpu" else 1
    products_of = products(x, test_x)
    stripes = map_stripes(
        lambda some: [_solve(episodes, batch, products_of, heads, l2, x.device) for batch in some],
        batches,
        workers,
    )
    solved = [result for stripe in stripes for result in stripe]
    return np.concatenate([top1 for top1, _ in solved], 1), max(gap for _, gap in solved)


def _table_pays(episodes: Episodes, train: int, test: int) -> bool:
    support, query = episodes.support.shape[1], episodes.query.shape[1]
    cells = TABLE_FACTOR * len(episodes) * (support + query) * support
    return bool((train + test) * train <= min(TABLE_CELLS, cells))


def _gathered(x: Tensor, test_x: Tensor) -> Products:
    """Return products of gathered rows: on a CPU episode by episode, on a device all at once."""

    def products_of(support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        if x.device.type != "cpu":
            train = x[support]
            return train @ train.transpose(1, 2), test_x[query] @ train.transpose(1, 2)
        among, across = (
            x.new_empty(len(rows), rows.shape[1], support.shape[1]) for rows in (support, query)
        )
        for i, (support_rows, query_rows) in enumerate(zip(support, query, strict=True)):
            train = x.index_select(0, support_rows)
            among[i] = product(train, train)
            across[i] = product(test_x.index_select(0, query_rows), train)
        return among, across

    return products_of


def _looked_up(x: Tensor, test_x: Tensor) -> Products:
    """Return products looked up in those of all rows."""
    among, across = x @ x.T, test_x @ x.T
    return lambda support, query: (
        among[support[:, :, None], support[:, None]],
        across[query[:, :, None], support[:, None]],
    )


def _solve(
    episodes: Episodes,
    batch: slice,
    products_of: Products,
    heads: Sequence[str],
    l2: float,
    device: torch.device,
) -> tuple[Doubles, float]:
    """Solve a batch of episodes with every head, from the products of their rows."""
    support, query = (
        torch.from_numpy(rows[batch]).to(device) for rows in (episodes.support, episodes.query)
    )
    gram, products = products_of(support, query)
    y, true = (
        torch.arange(episodes.ways, device=device).repeat_interleave(rows.shape[1] // episodes.ways)
        for rows in (support, query)
    )
    labels = y.expand(len(gram), -1)
    scores = [_scores(head, gram, products, labels, episodes.ways, l2) for head in heads]
    spread = gram.diagonal(dim1=1, dim2=2).mean(1) - gram.mean((1, 2))
    guesses = (spread <= batched_dual.SAME_ROWS).cpu().numpy()
    top1 = [
        np.where(
            guesses,
            1 / episodes.ways,
            (score.argmax(2) == true).double().mean(1).cpu().numpy(),
        )
        for score, _ in scores
    ]
    return np.stack(top1), max(gap for _, gap in scores)


def _scores(
    head: str, gram: Tensor, products: Tensor, y: Tensor, ways: int, l2: float
) -> tuple[Tensor, float]:
    """Return the scores of the queries (E, Q, N), and the gap."""
    if head == "centroid":
        return centroid.scores(gram, products, y, ways), 0.0
    centred, penalty = batched_dual.centred(gram), gram.new_full((len(gram),), l2)
    if head == "ridge":
        solution = batched_dual.ridge(centred, y, ways, penalty)
    else:
        logistic_penalty = 2 * penalty if ways == 2 else penalty  # scikit-learn's binary objective
        solution = batched_dual.logistic(centred, y, ways, logistic_penalty)
    queries = batched_dual.centred_queries(products, gram)
    return queries @ solution.coefficient + solution.bias[:, None], solution.gap
