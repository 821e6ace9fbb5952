"""Nearest class mean, and accuracy against the number of classes.

`metric: cosine` is SimpleCIL (Zhou et al. 2023, arXiv:2303.07338; code: zhoudw-zdw/RevisitingCIL):
a class's prototype is the mean of its raw train rows, and the largest cosine wins. `metric:
euclidean` is the nearest mean of Janson et al. 2022 (arXiv:2210.04428; code:
Pauljanson002/pretrained-cl): rows have length 1, means are not normalised again, and the smallest
distance wins.

Since a prototype depends on its own class alone, learning classes one task after another ends with
the classifier of all classes, whatever the order, and all accuracies on the way are known in closed
form, in expectation over all orders (`bob.metrics.class_subsets`). Official codes report one order.

Differs from the official codes in this point: images are preprocessed as the backbone's entry says,
where both codes give the networks inputs in [0, 1] without mean and standard deviation.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.outcomes import ClassPredictions, ClassSubsets
from bob.protocols.caveats import features_checked
from bob.protocols.classification import ClassificationProblem, Classifier, answers_of
from bob.protocols.protocol import Result, ResultPart
from bob.specs.yaml import Closed


class CentroidSettings(Closed):
    """Settings of the nearest class mean."""

    metric: Literal["cosine", "euclidean"]
    """Cosine with means of raw rows, or distance to means of rows of length 1."""
    tasks: Annotated[int, Field(ge=2)]
    """Number of tasks into which the classes are divided: the steps of the curve."""


class NearestCentroid(Classifier[CentroidSettings]):
    """All train rows make the class means; nothing is chosen."""

    name = "centroid"
    settings = CentroidSettings
    outcomes = (ClassPredictions, ClassSubsets)

    def solve(
        self, problem: ClassificationProblem, settings: CentroidSettings, device: str
    ) -> Result:
        checked = features_checked(train=problem.x, test=problem.test_x)
        weight, bias = prototypes(problem.x, problem.y, problem.classes, settings.metric)
        outcome = ClassPredictions.from_logits_in_blocks(
            lambda rows: unit_rows(problem.test_x[rows]) @ weight.T + bias,
            problem.test_y,
            problem.classes,
        )
        sizes = sizes_of_tasks(problem.classes, settings.tasks)
        subsets = ClassSubsets(outcome.y, outcome.rank, problem.classes, sizes)
        parts = [
            ResultPart(_without_probabilities(outcome)),
            ResultPart(
                subsets if len(sizes) > 1 else None,
                "of_tasks",
                ("expected_incremental_top1", "expected_forgetting"),
                {"tasks": len(sizes)},
                undefined=None if len(sizes) > 1 else "there is a single task",
            ),
            *(
                ResultPart(subsets.at(size), f"{size}classes", ("subset_top1",), {"classes": size})
                for size in sizes.tolist()
            ),
        ]
        return Result(tuple(parts), {"sizes": sizes.tolist()}, checked, {"": answers_of(outcome)})


def prototypes(
    x: Floats, y: Ints, classes: int, metric: Literal["cosine", "euclidean"]
) -> tuple[Doubles, Doubles]:
    """Return weights (C, D) and biases (C,), whose largest score on rows of length 1 is nearest."""
    from bob.numerics.class_means import class_means

    absent = np.where(np.bincount(y, minlength=classes) > 0, 0.0, -np.inf)
    if (x == x[0]).all():
        return np.zeros((classes, x.shape[1])), absent
    if metric == "cosine":
        return unit_rows(class_means(x, y, classes)), absent
    means = class_means(unit_rows(x).astype(np.float32), y, classes)
    return means, absent - (means**2).sum(1) / 2


def unit_rows(rows: Floats | Doubles) -> Doubles:
    """Return rows (N, D) of length 1 in float64; a zero row stays zero."""
    rows = rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))


def sizes_of_tasks(classes: int, tasks: int) -> Ints:
    """Return the numbers of classes after each task: multiples of ⌈C / T⌉, and C."""
    step = -(-classes // tasks)
    return np.unique(np.append(np.arange(step, classes, step), classes)).astype(np.int64)


def _without_probabilities(outcome: ClassPredictions) -> ClassPredictions:
    """Return the outcome without the softmax of scores that are not logits."""
    return ClassPredictions(outcome.y, outcome.predicted, outcome.rank, outcome.classes)


PROTOCOL = NearestCentroid()
