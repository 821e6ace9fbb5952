"""How alike the features of the leaderboard's backbones are, in a clustered order."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bob.records.record import Record
from bob.records.similarities import Similarities, SimilarPair, features_digest

SIMILARITY_FIELDS = tuple(
    name for name in SimilarPair.model_fields if name not in ("a", "b", "images")
)
"""The measures of a pair, each with its limits."""


@dataclass(frozen=True)
class SimilarityMatrix:
    """All pairs (i, j), i < j, row by row, of R backbones on images of one split."""

    dataset: str
    split: str
    names: tuple[str, ...]
    """(R,), alike ones beside each other."""
    pairs: tuple[SimilarPair | None, ...]
    """(R (R − 1) / 2,); None for a pair that was not compared."""

    def values(self, field: str) -> list[float | None]:
        """Return one of SIMILARITY_FIELDS of all pairs; None where it is unknown or undefined."""
        return [getattr(pair, field) if pair else None for pair in self.pairs]


def similarity_matrices(
    similarities: Iterable[Similarities], records: Sequence[Record]
) -> tuple[list[SimilarityMatrix], list[str]]:
    """Return a matrix of each split, and notes about what is stale and therefore left out.

    A backbone is compared if its records of the dataset have the features that were compared.
    """
    matrices, notes = [], []
    for one in similarities:
        of_dataset = [record for record in records if record.dataset_name == one.dataset]
        current, problem = _current(one, of_dataset)
        if len(current) > 1:
            matrices.append(_matrix(one, current))
        if problem:
            notes.append(
                f"similarity on {one.dataset}, {one.split}: {problem}; "
                "`bob-bench similarity` computes it again."
            )
    return matrices, notes


def clustered(names: Sequence[str], similarities: Mapping[frozenset[str], float]) -> list[str]:
    """Return the names with alike ones beside each other (average linkage on 1 − similarity).

    A pair without a similarity counts as 0.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(names) < 3:
        return [*names]
    pairs = map(frozenset, itertools.combinations(names, 2))
    distances = [max(1 - similarities.get(pair, 0.0), 0.0) for pair in pairs]
    tree = linkage(distances, "average", optimal_ordering=True)
    return [names[i] for i in leaves_list(tree)]


def cka_values(pairs: Iterable[SimilarPair]) -> dict[frozenset[str], float]:
    """Return the CKA of the pairs that have one, by their names."""
    return {pair.names: pair.cka for pair in pairs if pair.cka is not None}


def _current(one: Similarities, records: Sequence[Record]) -> tuple[list[str], str]:
    """Return the backbones whose features are those of the records, and what is stale."""
    fingerprints = {record.dataset.fingerprint for record in records if record.dataset}
    if not fingerprints:
        return [], ""
    if fingerprints.isdisjoint(one.fingerprints):
        return [], "left out, as the records are of other images"
    features: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.backbone:
            features[record.backbone_name].add(features_digest(record.backbone))
    recorded = sorted(name for name in one.backbones if name in features)
    stale = [name for name in recorded if one.backbones[name] not in features[name]]
    problem = f"left out {', '.join(stale)}, whose records are of other features" if stale else ""
    return [name for name in recorded if name not in stale], problem


def _matrix(one: Similarities, names: Sequence[str]) -> SimilarityMatrix:
    pairs = {pair.names: pair for pair in one.pairs}
    order = clustered(names, cka_values(one.pairs))
    in_order = map(frozenset, itertools.combinations(order, 2))
    return SimilarityMatrix(
        one.dataset, one.split, tuple(order), tuple(pairs.get(names) for names in in_order)
    )
