"""The classifier that ignores images: what any useful backbone must beat on unequal classes."""

import numpy as np
from numpy.typing import NDArray

from bob.outcomes import ClassPredictions


def majority_predictions(
    counts: NDArray[np.int64], outcome: ClassPredictions
) -> ClassPredictions | None:
    """Return what a classifier predicts that knows the class frequencies of train alone.

    It ranks classes by their number of train images `counts` (C,), ties by the lower index, and
    gives their shares as probabilities, as scikit-learn's DummyClassifier(strategy="prior"). None
    where train has no labels, or where the outcome is one among fewer classes.
    """
    if len(counts) != outcome.classes or not counts.sum():
        return None
    rank = np.empty(outcome.classes, np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(outcome.classes)
    prior = counts / counts.sum()
    with np.errstate(divide="ignore"):
        log_prior = np.log(prior)
    has_probabilities = outcome.log_prob is not None
    return ClassPredictions(
        y=outcome.y,
        predicted=np.full(len(outcome), int(counts.argmax())),
        rank=rank[outcome.y],
        classes=outcome.classes,
        log_prob=log_prior[outcome.y] if has_probabilities else None,
        confidence=np.full(len(outcome), prior.max()) if has_probabilities else None,
    )
