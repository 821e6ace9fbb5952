"""Images of a record of retrieval: the queries with the worst rankings, and what ranks first."""

from collections.abc import Iterator

import numpy as np

from bob.datasets.dataset import Dataset, Split
from bob.features.store import Features
from bob.numerics.arrays import Ints
from bob.outcomes.retrieval import RetrievalResults
from bob.pictures.page import PageSection, Picture, Strip
from bob.pictures.pick import misses
from bob.pictures.view import NO_FEATURES, Sections, View, picture
from bob.protocols.retrieval import (
    RetrievalProblem,
    RetrievalSettings,
    relevances,
    sides,
    whitened,
)
from bob.specs import Role

QUERIES = 12
"""Queries on the page."""
NEIGHBOURS = 6


def retrieval_sections(outcome: RetrievalResults, view: View) -> Sections:
    """Yield the queries with the lowest average precision, and what ranks first for them.

    Excluded images (the query, copies of it, its group, junk) are not shown, as they are not
    ranked.
    """
    worst = misses(outcome, QUERIES)
    if not len(worst):
        view.note("no misses are shown: for every query, all positives rank first.")
        return
    if view.dataset is None:
        return
    settings = RetrievalSettings.model_validate(view.record.task.settings)
    query_name, gallery_name = sides(settings, view.dataset)
    stored = _stored_features(view, view.dataset, settings)
    if stored is None:
        view.note(f"no misses are shown: {NO_FEATURES}")
        return
    by_difficulty = relevances(settings, view.dataset, stored, query_name, gallery_name)
    train = stored["train"].rows if settings.whiten is not None else None
    problem = RetrievalProblem(
        stored[query_name].rows, stored[gallery_name].rows, by_difficulty, train
    )
    query_split, gallery_split = (view.dataset.splits[name] for name in (query_name, gallery_name))
    strips = []
    for i, ranking in zip(worst, _rankings(outcome.query[worst], problem, settings), strict=True):
        position = int(stored[query_name].positions[outcome.query[i]])
        place = 1 / outcome.reciprocal_rank[i]
        lines = (f"AP {100 * outcome.ap[i]:.0f} %", f"first hit at place {place:.3g}")
        items = [
            _item(gallery_split, int(stored[gallery_name].positions[item]), measure, is_right)
            for item, measure, is_right in ranking
        ]
        strips.append(Strip("", [picture(query_split, position, *lines), *items], leads=True))
    total = int((outcome.ap < 1).sum())
    yield PageSection(
        "Misses",
        f"{len(worst)} of {total} queries whose positives do not all rank first, the lowest "
        f"average precision (AP) first, and the first {NEIGHBOURS} of their rankings. A solid "
        "frame is a positive, a dashed one is not.",
        strips,
    )


def _stored_features(
    view: View, dataset: Dataset, settings: RetrievalSettings
) -> dict[str, Features] | None:
    """Return the features of queries and gallery, and those that whitening needs, by split.

    None if some of them are not stored.
    """
    names: set[Role] = {*sides(settings, dataset)}
    if settings.whiten is not None:
        names.add("train")
    features = {name: view.features(dataset.splits[name]) for name in sorted(names)}
    stored: dict[str, Features] = {
        name: rows for name, rows in features.items() if rows is not None
    }
    return stored if len(stored) == len(features) else None


def _rankings(
    rows: Ints, problem: RetrievalProblem, settings: RetrievalSettings
) -> Iterator[list[tuple[int, str, bool]]]:
    """Yield what ranks first for the queries at `rows`: gallery row, measure, whether positive."""
    from bob.numerics.search.neighbours import search  # loads torch

    queries, gallery, _ = whitened(problem, settings)
    positive, excluded = next(iter(problem.relevances.values())).masks(rows)
    for row, is_positive, is_excluded in zip(rows, positive, excluded, strict=True):
        ranked = np.flatnonzero(~is_excluded)
        found = search(gallery, queries[[row]], NEIGHBOURS, metric=settings.metric, among=ranked)
        yield [
            (int(item), _measure(similarity, settings.metric), bool(is_positive[item]))
            for item, similarity in zip(found.index[0], found.similarity[0], strict=True)
        ]


def _measure(similarity: float, metric: str) -> str:
    return f"cosine {similarity:.3f}" if metric == "cosine" else f"distance {-similarity:.3g}"


def _item(split: Split, position: int, measure: str, is_right: bool) -> Picture:
    text = "positive" if is_right else "no positive"
    return picture(split, position, text, measure, right=is_right)
