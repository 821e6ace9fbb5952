"""Accuracy against the frequency of classes in a pretraining corpus, of any classifier's answers.

`with_concepts` adds it to every result that states its answers for the test split, where the
dataset's entry names files of counts (`frequency`). It says something of backbones that were
pretrained on that corpus; for others it is a control, since frequent classes can also be easy ones.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from bob.datasets.concept_counts import UNKNOWN
from bob.datasets.dataset import Dataset
from bob.numerics.arrays import Ints
from bob.outcomes import ConceptResults
from bob.protocols.protocol import Answers, Result, ResultPart

OVER_CONCEPTS = ("concept_correlation", "concept_gap")


def with_concepts(result: Result, dataset: Dataset, positions: Callable[[str], Ints]) -> Result:
    """Return the result with the accuracy of its answers against the counts of each corpus.

    `positions` gives the readable images (n,) of the test split by its name.
    """
    parts: list[ResultPart] = []
    of_test = {suffix: a for suffix, a in result.answers.items() if a.images == "test"}
    for corpus, count in dataset.concept_counts.items():
        for suffix, answers in of_test.items():
            y = dataset.splits["test"].y[positions("test")]
            results = concept_results(answers, y, count)
            absent = results.take(np.flatnonzero(results.count == 0))
            name, facets = f"{suffix}_{corpus}" if suffix else corpus, {"corpus": corpus}
            parts.append(ResultPart(results, name, OVER_CONCEPTS, facets))
            parts.append(ResultPart(absent, name, ("absent_concept_top1",), facets))
    return dataclasses.replace(result, parts=(*result.parts, *parts)) if parts else result


def concept_results(answers: Answers, y: Ints, count: Ints) -> ConceptResults:
    """Return the outcome of answers for images of classes y (n,), by the counts (C,) of classes."""
    y = y if answers.rows is None else y[answers.rows]
    images = np.bincount(y, minlength=len(count))
    right = np.bincount(y, weights=answers.right, minlength=len(count))
    counted = (images > 0) & (count != UNKNOWN)
    return ConceptResults(right[counted] / images[counted], count[counted])
