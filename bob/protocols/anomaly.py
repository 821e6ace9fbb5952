"""Anomaly detection: test images scored by how unlike the normal train images they are.

Only train images of the normal classes are read; nothing is chosen on an anomaly. Three scores come
from the same rows, higher for images more like the normal ones:
- `knn_cosine`: sum of the cosines with the k nearest normal rows, k = 5; the headline;
- `knn_euclidean`: minus the sum of squared Euclidean distances of raw rows to the k nearest, k = 2,
  as in DN2 (Bergman, Cohen & Hoshen 2020, arXiv:2002.10445; code: talreiss/PANDA);
- `gaussian`: minus the squared Mahalanobis distance of rows of length 1 under the covariance of
  Ledoit & Wolf (Rippel, Mertens & Merhof 2021, arXiv:2005.14140).

`normal: declared` takes the normal classes that the dataset's entry declares, else the only class
of train, as in MVTec AD. `normal: each` is the one-class protocol of the literature: each class is
normal in turn, all test images of the others are anomalies, and the score is the mean over classes.

Differs from the sources in these points:
- Rippel et al. read the mean of nine levels of an EfficientNet, with raw rows, and average the
  distances over levels; here rows are the backbone's output, of length 1;
- rows tied at the k-th place are equal in similarity, so that it does not matter which is taken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError, UndefinedError
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.outcomes import MultilabelPredictions, OodScores
from bob.protocols.caveats import features_checked
from bob.protocols.classification import (
    CLASS_KINDS,
    features_by_split,
    require_single_labels,
    require_trained_classes,
)
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

SCORES = ("knn_cosine", "knn_euclidean", "gaussian")
"""The first is the headline."""
DOES_NOT_VARY = "Mahalanobis distances need normal train features that vary"


class AnomalySettings(Closed):
    """Settings of anomaly detection."""

    normal: Literal["declared", "each"]
    """The dataset's normal classes, or each class in turn."""
    k_cosine: Count
    """Nearest normal rows whose cosines are summed."""
    k_euclidean: Count
    """Nearest normal rows whose squared distances are summed."""


@dataclass(frozen=True, eq=False)
class AnomalyProblem:
    """Train features with classes, test features with classes, and what counts as normal."""

    x: Floats
    """(N, D)"""
    y: Ints
    """(N,)"""
    test_x: Floats
    """(Q, D)"""
    test_y: Ints
    """(Q,)"""
    classes: tuple[str, ...]
    """C names."""
    normal: tuple[int, ...] | None
    """The normal classes; None takes each class in turn."""


class AnomalyDetection(Protocol[AnomalySettings, AnomalyProblem]):
    """Every test image is scored by the normal train rows alone."""

    name = "anomaly"
    settings = AnomalySettings
    kinds = CLASS_KINDS
    outcomes = (OodScores, MultilabelPredictions)

    def needs(self, settings: AnomalySettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        require_splits(dataset, "train", "test")
        require_single_labels(dataset)
        if settings.normal == "each":
            require_trained_classes(dataset, ("test",))
        else:
            normal_classes(dataset)
        return [FeatureNeed(backbone, ImageSet(name)) for name in ("train", "test")]

    def build(
        self, settings: AnomalySettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> AnomalyProblem:
        features = features_by_split(needs, inputs)
        y, test_y = (dataset.splits[name].y[features[name].positions] for name in ("train", "test"))
        x, test_x = features["train"].rows, features["test"].rows
        normal = None if settings.normal == "each" else normal_classes(dataset)
        return AnomalyProblem(x, y, test_x, test_y, dataset.classes, normal)

    def solve(self, problem: AnomalyProblem, settings: AnomalySettings, device: str) -> Result:
        checked = features_checked(train=problem.x, test=problem.test_x)
        if problem.normal is None:
            return _each_class(problem, settings, device, checked)
        fitted = problem.x[np.isin(problem.y, problem.normal)]
        if not len(fitted):
            raise UndefinedError("none of the normal train images could be read")
        inside = np.isin(problem.test_y, problem.normal)
        parts = _parts(normality(fitted, problem.test_x, settings, device), inside)
        anomalies = float((~inside).mean())
        detail = {
            "normal": [problem.classes[c] for c in problem.normal],
            "normal_train_images": len(fitted),
            "anomaly_share": anomalies,
        }
        return Result(tuple(parts), detail, checked)


def normal_classes(dataset: Dataset) -> tuple[int, ...]:
    """Return the normal classes: those declared, else the only class of train.

    NotApplicableError where neither says what is normal, or where train has no normal image.
    """
    trained = sorted(dataset.splits["train"].present_classes - {-1})
    if dataset.normal is None:
        if len(trained) == 1:
            return (trained[0],)
        raise NotApplicableError(
            f"needs to know what is normal: train of dataset {dataset.name!r} holds "
            f"{len(trained)} classes. Name the normal ones with --normal, or as 'normal' in the "
            "dataset's entry."
        )
    if not set(dataset.normal) & set(trained):
        names = ", ".join(repr(dataset.classes[c]) for c in dataset.normal)
        raise NotApplicableError(
            f"needs normal train images; train of dataset {dataset.name!r} has none of {names}."
        )
    return dataset.normal


def normality(
    fitted: Floats, queries: Floats, settings: AnomalySettings, device: str
) -> dict[str, Doubles | None]:
    """Return every score (Q,) of queries (Q, D) by normal rows (n, D); None where undefined."""
    from bob.numerics.ledoit_wolf import LedoitWolfGaussian
    from bob.numerics.search.similarity import unit

    cosines = _similarities(fitted, queries, settings.k_cosine, device, "cosine")
    distances = _similarities(fitted, queries, settings.k_euclidean, device, "euclidean")
    gaussian = LedoitWolfGaussian(unit(fitted), device)
    return {
        "knn_cosine": cosines.sum(1),
        "knn_euclidean": -(distances**2).sum(1),
        "gaussian": -gaussian.distances(unit(queries)) if gaussian.usable else None,
    }


def _similarities(
    fitted: Floats,
    queries: Floats,
    k: int,
    device: str,
    metric: Literal["cosine", "euclidean"],
) -> Doubles:
    """Return the float64 similarities (Q, k) of queries with their nearest rows; all, if fewer."""
    from bob.numerics.search.neighbours import exact_similarities, search

    index = search(fitted, queries, k, device, metric).index
    columns = [exact_similarities(fitted, queries, column, metric) for column in index.T]
    return np.stack(columns, axis=1)


def _parts(scores: dict[str, Doubles | None], inside: NDArray[np.bool_]) -> Iterator[ResultPart]:
    """Yield the headline with all metrics, then every score."""
    for i, name in enumerate((SCORES[0], *SCORES)):
        score = scores[name]
        yield ResultPart(
            None if score is None else OodScores(score, inside),
            name if i else "",
            facets={"score": name},
            stored=bool(i),
            undefined=DOES_NOT_VARY if score is None else None,
        )


def _each_class(
    problem: AnomalyProblem, settings: AnomalySettings, device: str, checked: Sequence[str]
) -> Result:
    """Return the mean over classes of every score, then the headline's score of each class."""
    present = np.unique(problem.y)
    by_score: dict[str, list[Doubles]] = {name: [] for name in SCORES}
    undefined: set[str] = set()
    for c in present:
        scores = normality(problem.x[problem.y == c], problem.test_x, settings, device)
        for name, score in scores.items():
            if score is None:
                undefined.add(name)
            else:
                by_score[name].append(score)
    labels = problem.test_y[:, None] == present
    parts = []
    for i, name in enumerate((SCORES[0], *SCORES)):
        lacking = name in undefined
        outcome = (
            None if lacking else MultilabelPredictions(np.stack(by_score[name], axis=1), labels)
        )
        reason = f"{DOES_NOT_VARY} within each class" if lacking else None
        facets = {"score": name}
        parts.append(ResultPart(outcome, name if i else "", ("roc_auc",), facets, undefined=reason))
    headline = by_score[SCORES[0]]
    parts += [
        ResultPart(
            OodScores(headline[i], labels[:, i]),
            f"class{c}",
            ("auroc",),
            {"score": SCORES[0], "class": problem.classes[c]},
        )
        for i, c in enumerate(present.tolist())
    ]
    detail: dict[str, Any] = {"classes": len(present)}
    return Result(tuple(parts), detail, tuple(checked))


PROTOCOL = AnomalyDetection()
