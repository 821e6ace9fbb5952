"""Image-to-image retrieval: every query ranks the gallery by similarity of frozen features, and should find the images that belong with it.

Leave-one-out (each test image asks all others) or query against gallery; positives share a class, a group or an attribute, or are judged one by one
as on the revisited Oxford and Paris (Radenovic et al. 2018, arXiv:1803.11285; official code: evaluate.py). What a ranking leaves out is decided in
`bob.protocols.relevance`, the order in `bob.protocols.ranking`, and what each metric means in `bob.metrics.retrieval`.

Queries without a positive in the gallery are left out of every metric and counted in the record, as the official code does.
Differs from common practice in these points:
- byte-identical copies of the query are left out together with the query itself, under leave-one-out and against a gallery alike (not where
  images are judged: there the judges decide);
- equal similarities go to the lower gallery position: official codes leave ties to their sort;
- Euclidean and cosine are offered side by side; with L2-normalised features both give the same ranking.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.protocols.protocol import Part, Result
from bob.protocols.ranking import Found, rankings, retrieved, shortlist, shortlists
from bob.protocols.relevance import Relevance
from bob.protocols.whitening import fit_whitening
from bob.specs.settings import RetrievalSettings


@dataclass(frozen=True, eq=False)
class Search:
    """Queries, a gallery, and what is relevant."""

    queries: NDArray[np.float32]
    """(Q, D)"""
    gallery: NDArray[np.float32]
    """(G, D)"""
    relevances: Mapping[str, Relevance]
    """By difficulty, the one that ranks first; "" where there are no difficulties."""
    train: NDArray[np.float32] | None = None
    """(N, D), where whitening is learned."""


def retrieval(search: Search, settings: RetrievalSettings, device: str) -> Result:
    """Whole rankings, or with `depth` their first places, of every query."""
    queries, gallery, white = _whitened(search, settings)
    if settings.depth is None:
        found = rankings(queries, gallery, search.relevances, settings.metric, device)
    else:
        found = shortlists(
            queries, gallery, search.relevances, settings.metric, settings.depth, device
        )
    parts = [
        part
        for name, chunks in found.items()
        for part in _parts(name, chunks, settings, headline=name == next(iter(found)))
    ]
    return Result(tuple(parts), {**_counts(found), "gallery": len(gallery), **white})


def _whitened(
    search: Search, settings: RetrievalSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, int]]:
    if settings.whiten is None or search.train is None:
        return search.queries, search.gallery, {}
    whitening = fit_whitening(search.train, settings.whiten)
    return (
        whitening.apply(search.queries),
        whitening.apply(search.gallery),
        {"whitened_dimensions": whitening.projection.shape[1]},
    )


def _parts(
    name: str, found: list[Found], settings: RetrievalSettings, *, headline: bool
) -> list[Part]:
    """The rankings of one difficulty, whole (or down to the depth) and at every k; those of the one that ranks have no suffix of their own."""
    own, facets = ("", {}) if headline else (name, {"difficulty": name})
    whole = settings.depth is None
    first = (
        retrieved(found)
        if settings.depth is None
        else shortlist(found, settings.depth, whole=False)
    )
    at_k = [
        Part(shortlist(found, k, whole=whole), f"{own}_k{k}".strip("_"), facets={**facets, "k": k})
        for k in settings.k
    ]
    return [
        Part(first, own, facets=facets if whole else {**facets, "k": settings.depth or 0}),
        *at_k,
    ]


def _counts(found: Mapping[str, list[Found]]) -> dict[str, Any]:
    """How many queries there are, and how many of them have nothing to find (by difficulty where there are several)."""
    empty = {
        name: sum(int((chunk.positives == 0).sum()) for chunk in chunks)
        for name, chunks in found.items()
    }
    queries = sum(len(chunk.query) for chunk in next(iter(found.values())))
    return {
        "queries": queries,
        "queries_without_positives": empty if len(empty) > 1 else next(iter(empty.values())),
    }
