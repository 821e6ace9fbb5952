"""Long-tailed train sets: a linear probe whose classes have very different numbers of images.

`imbalance` makes a tail as LDAM does (Cao et al. 2019, arXiv:1906.07413; code: kaidic/LDAM-DRW):
class c of C keeps n_c = int(n_max · imbalance^(−c / (C − 1))) of its train images, classes in index
order, where n_max is the size of the largest class and no class keeps more than it has. 1 keeps
every image. Of a class, the first images by content are kept, so that all backbones see the same,
whatever the order of files; byte-identical ones count once. All test images are used.

The probe is that of `bob.protocols.linear`. `adjusted` subtracts the logarithm of the train shares
from its logits (Menon et al. 2021, arXiv:2007.07314, τ = 1), which separates what the prior does
from what the features lack.
"""

import dataclasses
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.numerics.arrays import Ints
from bob.numerics.sampling import pools
from bob.outcomes import ClassPredictions, ConceptResults, FrequencyResults
from bob.protocols.classification import (
    ClassificationProblem,
    Classifier,
    answers_of,
    classification_problem,
    features_by_split,
    held_out_of,
)
from bob.protocols.concept_frequency import concept_results
from bob.protocols.linear import LinearSettings, fit_probe
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Result, ResultPart

OVER_FREQUENCIES = (
    *("many_shot_top1", "medium_shot_top1", "few_shot_class_top1"),
    "head_tail_gap",
)


class LongTailSettings(LinearSettings):
    """Settings of a long tail: those of the linear probe, and the imbalance."""

    imbalance: Annotated[float, Field(ge=1)]
    """Size of the largest class divided by that of the smallest."""


class LongTail(Classifier[LongTailSettings]):
    """The probe on a long-tailed part of train, raw and adjusted for the shares of classes."""

    name = "long_tail"
    settings = LongTailSettings
    outcomes = (ClassPredictions, FrequencyResults, ConceptResults)

    def build(
        self, settings: LongTailSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> ClassificationProblem:
        features = features_by_split(needs, inputs)
        train = dataset.splits["train"]
        read = features["train"].positions
        content = [train.content[i] for i in read]
        kept = tail_rows(train.y[read], content, len(dataset.classes), settings.imbalance)
        features["train"] = features["train"].view(read[kept])
        splits = {**dataset.splits, "train": train.take(read[kept])}
        tail = dataclasses.replace(dataset, splits=splits)
        return classification_problem(tail, features, held_out_of(settings), seed)

    def solve(
        self, problem: ClassificationProblem, settings: LongTailSettings, device: str
    ) -> Result:
        from bob.numerics.linear.logistic_path import scores

        probe = fit_probe(problem, settings, device)
        logits = scores(probe.fit, problem.test_x)
        count = np.bincount(problem.y, minlength=problem.classes)
        log_share = np.log(np.maximum(count, 1) / count.sum())
        detail = {**probe.detail, "train_images_per_class": count.tolist()}
        predictions = {
            "": ClassPredictions.from_logits(logits, problem.test_y),
            "adjusted": ClassPredictions.from_logits(logits - log_share, problem.test_y),
        }
        parts = [
            part
            for suffix, outcome in predictions.items()
            for part in _parts(suffix, outcome, count)
        ]
        answers = {suffix: answers_of(outcome) for suffix, outcome in predictions.items()}
        return Result(tuple(parts), detail, probe.caveats, answers)


def tail_sizes(sizes: Ints, imbalance: float) -> Ints:
    """Return how many images (C,) each class keeps of those it has (C,)."""
    exponent = np.arange(len(sizes)) / max(1, len(sizes) - 1)
    wanted = (sizes.max() * imbalance**-exponent + 1e-9).astype(np.int64)
    kept: Ints = np.minimum(np.maximum(wanted, 1), sizes)
    return kept


def tail_rows(y: Ints, content: list[str], classes: int, imbalance: float) -> Ints:
    """Return the ascending positions of the images that are kept."""
    if imbalance == 1:
        return np.arange(len(y))
    of_class = pools(y, content, classes)
    sizes = tail_sizes(np.array([len(rows) for rows in of_class]), imbalance)
    return np.sort(np.concatenate([rows[:n] for rows, n in zip(of_class, sizes, strict=True)]))


def _parts(suffix: str, predictions: ClassPredictions, count: Ints) -> Iterator[ResultPart]:
    """Yield predictions, and the same by the number of train images."""
    facets = {"logits": suffix or "raw"}
    yield ResultPart(predictions, suffix, "all", facets, stored=True)
    results = FrequencyResults(predictions.rank == 0, predictions.y, count[predictions.y])
    yield ResultPart(results, suffix, OVER_FREQUENCIES, facets)
    by_class = concept_results(answers_of(predictions), predictions.y, count)
    yield ResultPart(by_class, suffix, ("frequency_correlation",), facets)


PROTOCOL = LongTail()
