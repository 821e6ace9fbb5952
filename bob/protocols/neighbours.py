"""Exact nearest neighbours by cosine similarity: faiss on the CPU, torch on an accelerator, the same answers from both."""

from dataclasses import dataclass

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

SPARE = 8
"""Neighbours beyond k that are fetched so that a tie at the k-th place is seen whole in most cases."""
QUERIES_PER_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest gallery rows of Q queries, nearest first."""

    similarity: NDArray[np.float32]
    """(Q, k) cosine."""
    index: NDArray[np.int64]
    """(Q, k) gallery rows; equal similarities in ascending order of index."""

    def take(self, queries: slice) -> "Neighbours":
        return Neighbours(self.similarity[queries], self.index[queries])


def unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) rows of length 1; a zero row stays zero."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    normalised: NDArray[np.float32] = (x / np.where(length > 0, length, 1)).astype(np.float32)
    return normalised


def search(gallery: NDArray[np.float32], queries: NDArray[np.float32], k: int, device: str = "cpu") -> Neighbours:
    """The k most similar of N gallery rows (all of them where N < k) for each of Q queries; memory grows with Q · k only."""
    x, q = unit(gallery), unit(queries)
    k, wide = min(k, len(x)), min(k + SPARE, len(x))
    similarity, index = _faiss(x, q, wide) if device == "cpu" else _torch(x, q, wide, device)
    return _ties_to_lower_index(x, q, similarity, index, k)


def _faiss(x: NDArray[np.float32], q: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    index = faiss.IndexFlatIP(x.shape[1])
    index.add(x)
    similarity, found = index.search(q, k)
    return similarity, found


def _torch(x: NDArray[np.float32], q: NDArray[np.float32], k: int, device: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    gallery = torch.from_numpy(x).to(device)
    parts = [torch.topk(torch.from_numpy(chunk).to(device) @ gallery.T, k) for chunk in np.array_split(q, max(1, -(-len(q) // QUERIES_PER_CHUNK)))]
    return torch.cat([part.values for part in parts]).cpu().numpy(), torch.cat([part.indices for part in parts]).cpu().numpy()


def _ties_to_lower_index(
    x: NDArray[np.float32], q: NDArray[np.float32], similarity: NDArray[np.float32], index: NDArray[np.int64], k: int
) -> Neighbours:
    """The first k by (similarity descending, index ascending). Where a tie runs past what was fetched, the whole gallery is compared."""
    order = np.lexsort((index, -similarity), axis=1)[:, :k]
    best, found = np.take_along_axis(similarity, order, axis=1), np.take_along_axis(index, order, axis=1)
    for row in np.flatnonzero(best[:, -1] == similarity.min(axis=1)) if similarity.shape[1] < len(x) else ():
        whole = x @ q[row]
        first = np.lexsort((np.arange(len(x)), -whole))[:k]
        best[row], found[row] = whole[first], first
    return Neighbours(best, found)
