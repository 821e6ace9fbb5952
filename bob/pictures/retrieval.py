"""Images of a record of retrieval: the queries with the worst rankings, and what ranks first."""

import numpy as np

from bob.features.store import Features
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
    names: set[Role] = {query_name, gallery_name}
    if settings.whiten is not None:
        names.add("train")
    features = {name: view.features(view.dataset.splits[name]) for name in sorted(names)}
    stored: dict[str, Features] = {
        name: rows for name, rows in features.items() if rows is not None
    }
    if len(stored) < len(features):
        view.note(f"no misses are shown: {NO_FEATURES}")
        return
    by_difficulty = relevances(settings, view.dataset, stored, query_name, gallery_name)
    relevance = next(iter(by_difficulty.values()))
    train = stored["train"].rows if settings.whiten is not None else None
    problem = RetrievalProblem(
        stored[query_name].rows, stored[gallery_name].rows, by_difficulty, train
    )
    queries, gallery, _ = whitened(problem, settings)
    positive, excluded = relevance.masks(outcome.query[worst])

    from bob.numerics.search.neighbours import search  # loads torch

    strips = []
    for i, row, is_positive, is_excluded in zip(
        worst, outcome.query[worst], positive, excluded, strict=True
    ):
        ranked = np.flatnonzero(~is_excluded)
        found = search(gallery, queries[[row]], NEIGHBOURS, metric=settings.metric, among=ranked)
        split = view.dataset.splits[query_name]
        position = int(stored[query_name].positions[row])
        place = 1 / outcome.reciprocal_rank[i]
        lines = (f"AP {100 * outcome.ap[i]:.0f} %", f"first hit at place {place:.3g}")
        pictures: list[Picture] = [picture(split, position, *lines)]
        for item, similarity in zip(found.index[0], found.similarity[0], strict=True):
            is_right = bool(is_positive[item])
            is_cosine = settings.metric == "cosine"
            measure = f"cosine {similarity:.3f}" if is_cosine else f"distance {-similarity:.3g}"
            pictures.append(
                picture(
                    view.dataset.splits[gallery_name],
                    int(stored[gallery_name].positions[item]),
                    "positive" if is_right else "no positive",
                    measure,
                    right=is_right,
                )
            )
        strips.append(Strip("", pictures, leads=True))
    total = int((outcome.ap < 1).sum())
    yield PageSection(
        "Misses",
        f"{len(worst)} of {total} queries whose positives do not all rank first, the lowest "
        f"average precision (AP) first, and the first {NEIGHBOURS} of their rankings. A solid "
        "frame is a positive, a dashed one is not.",
        strips,
    )
