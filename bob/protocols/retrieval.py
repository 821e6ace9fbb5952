"""Image-to-image retrieval: rank a gallery by similarity of frozen features for every query.

Leave-one-out (each test image queries all others) or query against gallery; positives share a
class, a group or an attribute, or are judged one by one as on the revisited Oxford and Paris
(Radenovic et al. 2018, arXiv:1803.11285; official code: evaluate.py). What a ranking excludes is
decided in `bob.numerics.search.relevance`, the order in `bob.numerics.search.rankings`, and what
each metric means in `bob.metrics.retrieval`.

Queries without a positive in the gallery are excluded from every metric, as in the official code,
and counted in the record.

Differs from common practice in these points:
- byte-identical copies of the query are excluded together with the query itself, under
  leave-one-out and against a gallery alike (not where images are judged: there the judges decide);
- tied items share their places, and scores are expected values over all orders of these items
  (`bob.numerics.search.per_query`): official codes leave ties to their sort, so that the order of
  the gallery, which often follows the classes, decides;
- Euclidean and cosine are offered side by side; with L2-normalised features both give the same
  ranking.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from bob.datasets.dataset import Dataset, Split, SplitName
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.numerics.arrays import Floats
from bob.numerics.search.relevance import Codes, Labelled, Relevance, codes, judged
from bob.outcomes import RetrievalResults, TopKResults
from bob.protocols.caveats import Caveats, features_checked, few_queries, mostly_tied
from bob.protocols.classification import CLASS_KINDS, require_single_labels
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from bob.numerics.search.rankings import RankedPositives


class RetrievalSettings(Closed):
    """Settings of image-to-image retrieval."""

    metric: Literal["cosine", "euclidean"]
    label: str
    """What a query and its positives share: `class`, `group`, or the name of an attribute.
    Judgements, where a dataset has them, take precedence."""
    gallery: Literal["test", "train"] = "test"
    """The gallery of test images: each other (leave-one-out), or train. A dataset with a query and
    a gallery split has its own."""
    exclude_groups: bool = True
    """Whether images of the query's own group (patient, site, object) are excluded from its
    ranking, where a dataset has groups."""
    k: tuple[Count, ...] = Field((1, 5, 10), strict=False)
    """Numbers of first places, for metrics of shortlists."""
    depth: Count | None = None
    """Number of first places that are ranked; None ranks the full gallery. A depth takes less time,
    and leaves only metrics of shortlists."""
    whiten: Count | None = None
    """Largest number of dimensions after PCA whitening learned on train; None is no whitening."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "RetrievalSettings":
        if list(self.k) != sorted(set(self.k)):
            raise ValueError(f"k must ascend; got {list(self.k)!r}")
        if self.depth is not None and self.k and self.k[-1] >= self.depth:
            raise ValueError(
                "every k must be below 'depth', at which there is a shortlist anyway; got k "
                f"{list(self.k)!r} with depth {self.depth!r}"
            )
        if self.label == "group" and self.exclude_groups:
            raise ValueError(
                "label 'group' needs exclude_groups: false; else every positive would be excluded"
            )
        return self


@dataclass(frozen=True, eq=False)
class RetrievalProblem:
    """Queries, a gallery, and the relevance of its images."""

    queries: Floats
    """(Q, D)"""
    gallery: Floats
    """(G, D)"""
    relevances: Mapping[str, Relevance]
    """Relevance by difficulty, the ranking one first; "" where there are no difficulties."""
    train: Floats | None = None
    """(N, D) train features, from which whitening is learned; None without whitening."""


class Retrieval(Protocol[RetrievalSettings, RetrievalProblem]):
    """The full ranking of every query, or with `depth` its first places."""

    name = "retrieval"
    settings = RetrievalSettings
    kinds = CLASS_KINDS | {"multi-label", "image-text"}
    outcomes = (RetrievalResults, TopKResults)

    def needs(self, settings: RetrievalSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        query, gallery = sides(settings, dataset)
        names: list[SplitName] = [query, gallery]
        if settings.whiten is not None:
            names.append("train")
        require_splits(dataset, *names)
        if dataset.judgements is None:
            _require_labels(settings, dataset, query, gallery)
        return [FeatureNeed(backbone, ImageSet(name)) for name in dict.fromkeys(names)]

    def build(
        self, settings: RetrievalSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> RetrievalProblem:
        features = {
            need.name: inputs.features(need) for need in needs if isinstance(need, FeatureNeed)
        }
        query, gallery = sides(settings, dataset)
        relevance = relevances(settings, dataset, features, query, gallery)
        train = features["train"].rows if settings.whiten is not None else None
        return RetrievalProblem(features[query].rows, features[gallery].rows, relevance, train)

    def solve(self, problem: RetrievalProblem, settings: RetrievalSettings, device: str) -> Result:
        from bob.numerics.search.per_query import tied_share
        from bob.numerics.search.rankings import rankings, shortlists

        train = {} if problem.train is None else {"train": problem.train}
        checked = features_checked(query=problem.queries, gallery=problem.gallery, **train)
        queries, gallery, whitening = whitened(problem, settings)
        arguments = queries, gallery, problem.relevances, settings.metric
        if settings.depth is None:
            ranked = rankings(*arguments, device)
        else:
            ranked = shortlists(*arguments, settings.depth, device)
        headline = next(iter(ranked))
        parts = [
            part
            for name, of_difficulty in ranked.items()
            for part in _parts(name, of_difficulty, settings, is_headline=name == headline)
        ]
        ties = tied_share(ranked[headline])
        detail = {**_counts(ranked), "gallery": len(gallery), "tied_positives": ties, **whitening}
        empty = sum(int((chunk.positives == 0).sum()) for chunk in ranked[headline])
        caveats = checked + tie_caveats(ties) + few_queries(len(queries), empty)
        return Result(tuple(parts), detail, caveats)


def sides(settings: RetrievalSettings, dataset: Dataset) -> tuple[SplitName, SplitName]:
    """Return the names of the query and the gallery split; equal names mean leave-one-out."""
    if "query" in dataset.splits:
        return "query", "gallery"
    return "test", settings.gallery


def relevances(
    settings: RetrievalSettings,
    dataset: Dataset,
    features: Mapping[str, Features],
    query: SplitName,
    gallery: SplitName,
) -> Mapping[str, Relevance]:
    """Return the relevance; unreadable images are neither queries nor in the gallery."""
    if dataset.judgements is not None:
        readable = _readable_judgements(dataset, features[query], features[gallery])
        return judged(readable, len(features[gallery]))
    queries, items = (
        dataset.splits[name].take(features[name].positions) for name in (query, gallery)
    )
    image = codes(queries.content, items.content)
    group = None
    if settings.exclude_groups and queries.groups and items.groups:
        group = codes(queries.groups, items.groups)
    return {"": Labelled(_label_codes(settings.label, queries, items), image, group)}


def _readable_judgements(
    dataset: Dataset, queries: Features, gallery: Features
) -> dict[str, list[list[int]]]:
    """Return the judgements as rows of the images that could be read."""
    row_of = {int(position): row for row, position in enumerate(gallery.positions)}
    return {
        level: [
            [row_of[item] for item in lists[query] if item in row_of]
            for query in queries.positions.tolist()
        ]
        for level, lists in (dataset.judgements or {}).items()
    }


def _label_codes(label: str, queries: Split, gallery: Split) -> Codes:
    if label == "class":
        return queries.y, gallery.y
    return codes(_label_values(label, queries) or (), _label_values(label, gallery) or ())


def _label_values(label: str, split: Split) -> list[str] | None:
    """Return the label of each image; None where the split lacks the label.

    An image without a value gets a unique one, so that it has no positives.
    """
    values = split.groups if label == "group" else split.attributes.get(label)
    if values is None:
        return None
    return [value or f"\0{image}" for value, image in zip(values, split.ids, strict=True)]


def _require_labels(
    settings: RetrievalSettings, dataset: Dataset, query: SplitName, gallery: SplitName
) -> None:
    """Raise NotApplicableError where no two images have the same label."""
    label = settings.label
    queries, items = (dataset.splits[name] for name in (query, gallery))
    if label == "class":
        require_single_labels(dataset, query)
    elif _label_values(label, queries) is None or _label_values(label, items) is None:
        raise NotApplicableError(
            f"looks for images of the same {label}; dataset {dataset.name!r} does not have it."
        )
    if not _has_pairs(label, queries, items):
        raise NotApplicableError(
            f"no two images of dataset {dataset.name!r} have the same {label}, so that there is "
            "nothing to retrieve."
        )


@functools.lru_cache(maxsize=8)
def _has_pairs(label: str, queries: Split, items: Split) -> bool:
    """Whether some query has another image of its label; asked for every backbone of a plan."""
    labelled = Labelled(_label_codes(label, queries, items), codes(queries.content, items.content))
    return any(labelled.masks(np.array([row]))[0].any() for row in range(len(queries)))


def whitened(
    problem: RetrievalProblem, settings: RetrievalSettings
) -> tuple[Floats, Floats, dict[str, int]]:
    """Return queries and gallery, whitened where the settings ask for it."""
    if settings.whiten is None or problem.train is None:
        return problem.queries, problem.gallery, {}
    from bob.numerics.whitening import fit_whitening

    whitening = fit_whitening(problem.train, settings.whiten)
    detail = {"whitened_dimensions": whitening.projection.shape[1]}
    return whitening.apply(problem.queries), whitening.apply(problem.gallery), detail


def _parts(
    name: str, ranked: "list[RankedPositives]", settings: RetrievalSettings, *, is_headline: bool
) -> list[ResultPart]:
    """Return the parts of one difficulty: full rankings (or those to the depth), then every k."""
    suffix = "" if is_headline else name
    facets: dict[str, Any] = {} if is_headline else {"difficulty": name}
    full = settings.depth is None
    if settings.depth is None:
        first = ResultPart(retrieval_results(ranked), suffix, facets=facets)
    else:
        outcome = top_k_results(ranked, settings.depth, full=False)
        first = ResultPart(outcome, suffix, facets={**facets, "k": settings.depth})
    at_k = [
        ResultPart(
            top_k_results(ranked, k, full=full),
            f"{suffix}_k{k}".strip("_"),
            facets={**facets, "k": k},
        )
        for k in settings.k
    ]
    return [first, *at_k]


def retrieval_results(ranked: "list[RankedPositives]") -> RetrievalResults:
    """Return the outcome of full rankings; queries without a positive are excluded."""
    from bob.numerics.search.per_query import ranking_statistics

    return RetrievalResults(*ranking_statistics(ranked))


def top_k_results(ranked: "list[RankedPositives]", k: int, *, full: bool) -> TopKResults:
    """Return the outcome of the first k places; `full` is whether rankings were not cut off."""
    from bob.numerics.search.per_query import top_k_statistics

    return TopKResults(k, *top_k_statistics(ranked, k, full=full))


def tie_caveats(share: float) -> Caveats:
    """Return a caveat where most positives are tied with other items."""
    return mostly_tied(
        share,
        "of the positives are as similar to their query as other items; scores are expected values "
        "over the orders of these items",
    )


def _counts(ranked: "Mapping[str, list[RankedPositives]]") -> dict[str, Any]:
    """Return the number of queries, and of those without positives by difficulty."""
    empty = {
        name: sum(int((chunk.positives == 0).sum()) for chunk in chunks)
        for name, chunks in ranked.items()
    }
    queries = sum(len(chunk.query) for chunk in next(iter(ranked.values())))
    without = empty if len(empty) > 1 else next(iter(empty.values()))
    return {"queries": queries, "queries_without_positives": without}


PROTOCOL = Retrieval()
