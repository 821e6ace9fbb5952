"""Exact rankings of a gallery, chunk by chunk, and what they say about the positives of each query.

Similarities are summed in float64 and rounded to float32; equal ones go to the lower gallery position. So a ranking depends neither on the chunks,
nor on the library or device that sorts. Each row is sorted once, its float's bits above the gallery position in one int64, and the positives' ranks
are read off; everything else is counted from those.

Memory beside the features: one chunk of similarities and what sorting a part of it takes, some 300 MiB, whatever Q and G are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bob.outcomes.retrieved import Retrieved, Shortlist
from bob.protocols.neighbours import search
from bob.protocols.relevance import Ints, Mask, Relevance

MetricName = Literal["cosine", "euclidean"]
Ordering = Any
"""(B, G) gallery positions, best first: a numpy array, or a torch tensor on its device."""

QUERIES, CELLS = 1024, 2**25
"""Queries multiplied at once, and similarities held at once, as float32: 128 MiB."""
SORTED_CELLS = 2**22
"""Similarities sorted at once, with some 30 bytes for each. Larger arrays would be fetched from the system anew each time, which costs more."""
BLOCK_BYTES = 32 * 2**20
"""Of the gallery, in float64, multiplied at once."""
SAME_POINT = 1e-13
"""A squared distance below this share of ‖q‖² + ‖x‖² is 0: three units in the last place of float32 features, above the rounding of float64 sums."""


@dataclass(frozen=True, eq=False)
class Found:
    """The positives of some queries, in the order of their ranks."""

    query: Ints
    """(B,) the queries' positions, ascending."""
    positives: Ints
    """(B,) how many positives each has; those that a cut-off ranking does not reach are among them."""
    row: Ints
    """(P,) which of the B queries, ascending."""
    rank: Ints
    """(P,) from 0, what is left out not counted; ascending within a query."""


def rankings(
    queries: NDArray[Any], gallery: NDArray[Any], relevances: Mapping[str, Relevance], metric: MetricName, device: str = "cpu"
) -> dict[str, list[Found]]:
    """Whole rankings of gallery (G, D) for queries (Q, D), read by several ideas of what is relevant; by name, one Found per chunk."""
    found: dict[str, list[Found]] = {name: [] for name in relevances}
    for rows, order in _orders(queries, gallery, metric, device):
        for name, relevance in relevances.items():
            found[name].append(_found(order, rows, *relevance.of(rows)))
    return found


def shortlists(
    queries: NDArray[Any], gallery: NDArray[Any], relevances: Mapping[str, Relevance], metric: MetricName, depth: int, device: str = "cpu"
) -> dict[str, list[Found]]:
    """As `rankings`, for the first `depth` places only: from a search of nearest neighbours, without sorting the gallery."""
    spare = {name: _most_left_out(relevance, len(queries), len(gallery)) for name, relevance in relevances.items()}
    nearest = search(gallery, queries, depth + max(spare.values()), device, metric).index
    found: dict[str, list[Found]] = {name: [] for name in relevances}
    for rows in _chunks(len(queries), max(1, CELLS // len(gallery))):
        for name, relevance in relevances.items():
            positive, left_out = relevance.of(rows)
            whole = _found(nearest[rows], rows, positive, left_out)
            kept = whole.rank < depth
            found[name].append(Found(whole.query, whole.positives, whole.row[kept], whole.rank[kept]))
    return found


def retrieved(found: Sequence[Found]) -> Retrieved:
    """Of whole rankings; queries without a positive are left out."""
    return Retrieved(*map(np.concatenate, zip(*map(_retrieved, found), strict=True)))


def shortlist(found: Sequence[Found], k: int, *, whole: bool) -> Shortlist:
    """Of the first k places; `whole` says whether the rankings were not cut off."""
    return Shortlist(k, *map(np.concatenate, zip(*(_shortlist(part, k, whole) for part in found), strict=True)))


def _orders(queries: NDArray[Any], gallery: NDArray[Any], metric: MetricName, device: str) -> Iterator[tuple[Ints, Ordering]]:
    """(query positions, their orderings), a few queries at a time."""
    prepared = _Gallery(gallery, metric, device)
    sort = ascending_on_cpu if prepared.rows.device.type == "cpu" else ascending_on_device
    for rows in _chunks(len(queries), max(1, min(QUERIES, CELLS // len(gallery)))):
        far = prepared.far(queries[rows])
        for part in _chunks(len(rows), max(1, SORTED_CELLS // len(gallery))):
            yield rows[part], sort(far[part[0] : part[-1] + 1])


def _chunks(n: int, size: int) -> Iterator[Ints]:
    return (np.arange(start, min(start + size, n)) for start in range(0, n, size))


class _Gallery:
    """A gallery (G, D) on a device, and what every chunk of queries needs of it."""

    def __init__(self, rows: NDArray[Any], metric: MetricName, device: str) -> None:
        self.metric, self.rows = metric, torch.from_numpy(rows).to(device)
        self.centre = self.rows[:: max(1, len(rows) // 1024)].double().mean(0) if metric == "euclidean" else None
        self.step = max(1, BLOCK_BYTES // (8 * rows.shape[1]))
        self.squares = torch.cat([block.square_().sum(1) for _, block in self.blocks()])

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """(positions, rows less the centre in float64)."""
        for start in range(0, len(self.rows), self.step):
            part = slice(start, start + self.step)
            yield part, self._centred(self.rows[part])

    def far(self, queries: NDArray[Any]) -> torch.Tensor:
        """(B, G) float32 for queries (B, D), the less the more similar."""
        wanted = self._centred(torch.from_numpy(queries).to(self.rows.device))
        squares = wanted.square().sum(1, keepdim=True)
        far = torch.empty((len(queries), len(self.rows)), dtype=torch.float32, device=self.rows.device)
        for part, block in self.blocks():
            far[:, part] = self._far(wanted, squares, block, self.squares[part])
        return far.add_(0.0)  # so that zero has one sign

    def _centred(self, rows: torch.Tensor) -> torch.Tensor:
        """A copy in float64, around a point in the middle where distances are asked for: they do not depend on it, and squares stay small."""
        return rows.double() if self.centre is None else rows.double().sub_(self.centre)

    def _far(self, queries: torch.Tensor, squares: torch.Tensor, block: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """(B, g) minus the cosine, 0 where a row is zero; or the squared distance, which orders as distance does."""
        if self.metric == "cosine":
            mine, theirs = (torch.where(values > 0, -values.rsqrt(), 0) for values in (squares, others))
            return ((queries * -mine) @ block.T).mul_(theirs)
        total = squares + others
        apart = torch.addmm(total, queries, block.T, alpha=-2)
        return apart.masked_fill_(apart < SAME_POINT * total, 0.0)


def ascending_on_cpu(far: torch.Tensor) -> Ordering:
    """A stable argsort of each row, several times faster: one sort of int64, the float's bits (as integers that order alike) above the position."""
    bits = far.numpy().view(np.int32)
    key = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
    key <<= 32
    key |= np.arange(far.shape[1])
    key.sort(axis=1)
    key &= 0xFFFFFFFF
    return key


def ascending_on_device(far: torch.Tensor) -> Ordering:
    """The same, by torch."""
    return torch.sort(far, dim=1, stable=True).indices


def _found(order: Ordering, rows: Ints, positive: Mask, left_out: Mask) -> Found:
    """Ranks of the positives, moved up by what is left out before them."""
    width = order.shape[1]
    hit, gone = _places(order, positive.view(np.uint8) + 2 * left_out.view(np.uint8))
    row, rank = np.divmod(hit, width)
    before = np.searchsorted(gone, hit) - np.searchsorted(gone, row * width)
    return Found(rows, positive.sum(1), row, rank - before)


def _places(order: Ordering, kind: NDArray[np.uint8]) -> list[Ints]:
    """Ascending places in the flattened ordering (B · G) of the items whose kind (B, G) is 1, and of those whose kind is 2."""
    if isinstance(order, torch.Tensor):
        sorted_kind = torch.from_numpy(kind).to(order.device).gather(1, order).flatten()
        return [(sorted_kind == wanted).nonzero()[:, 0].cpu().numpy() for wanted in (1, 2)]
    placed = np.take_along_axis(kind, order, 1)
    return [np.flatnonzero(placed == wanted) for wanted in (1, 2)]


def _most_left_out(relevance: Relevance, queries: int, gallery: int) -> int:
    """The largest number of gallery items that one query's ranking leaves out."""
    return max((int(relevance.of(rows)[1].sum(1).max()) for rows in _chunks(queries, max(1, CELLS // gallery))), default=0)


def _retrieved(found: Found) -> tuple[NDArray[Any], ...]:
    """The fields of `Retrieved` for the queries of one chunk that have positives."""
    has = found.positives > 0
    r, nth, precision = found.positives[found.row], _nth(found), _precisions(found)
    within_r = found.rank < r
    before = np.divide(nth, found.rank, out=np.ones(len(nth)), where=found.rank > 0)
    sums = [_sums(found, values)[has] / found.positives[has] for values in (precision, (before + precision) / 2, within_r, precision * within_r)]
    return (found.query[has], found.positives[has], found.rank[nth == 0], *sums)


def _shortlist(found: Found, k: int, whole: bool) -> tuple[NDArray[Any], ...]:
    """The arrays of `Shortlist` for the queries of one chunk that have positives."""
    has = found.positives > 0
    within, positives = found.rank < k, found.positives[has]
    hits = _sums(found, within)[has].astype(np.int64)
    ap = _sums(found, _precisions(found) * within)[has] / np.minimum(positives, k)
    until = _until_last(found, k)[has] if whole else np.full(len(positives), np.nan)
    return positives, hits, ap, until


def _until_last(found: Found, k: int) -> NDArray[np.float64]:
    """(B,) precision at min(k, 1-based rank of the last positive); 0 for a query without positives."""
    last = np.zeros(len(found.query), np.int64)
    last[found.row] = found.rank + 1  # ranks ascend within a query: the last stays
    end = np.minimum(np.maximum(last, 1), k)
    return _sums(found, found.rank < end[found.row]) / end


def _nth(found: Found) -> Ints:
    """(P,) from 0, which of its query's positives each is."""
    return np.arange(len(found.row)) - np.searchsorted(found.row, found.row)


def _precisions(found: Found) -> NDArray[np.float64]:
    """(P,) the precision at each positive's rank."""
    precision: NDArray[np.float64] = (_nth(found) + 1) / (found.rank + 1)
    return precision


def _sums(found: Found, values: NDArray[Any]) -> NDArray[np.float64]:
    """(B,) of values (P,), per query, in float64."""
    return np.bincount(found.row, weights=values, minlength=len(found.query)).astype(np.float64, copy=False)
