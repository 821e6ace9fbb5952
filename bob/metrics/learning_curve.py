"""The metric of learning curves: accuracy, averaged over sizes of the train set."""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles
from bob.outcomes import LearningCurve


def data_efficiency(outcome: LearningCurve) -> float:
    """Return the normalised area under accuracy against the logarithm of the train set's size.

    The area under trapezoids between the sizes is divided by its width, so that the result is an
    accuracy, averaged over sizes; the step from 100 to 200 train images weighs as much as that from
    1,000 to 2,000. Range [0, 1]. Defined here, as `label_efficiency` is for shots.
    """
    return mean_of(area_per_example(outcome), if_empty="there are no test examples")


def area_per_example(outcome: LearningCurve) -> Doubles:
    """Return (N,) the normalised area of each test example, whose mean is `data_efficiency`."""
    if len(outcome.train_images) < 2:
        raise UndefinedError("data_efficiency needs train sets of at least two sizes")
    step = np.diff(np.log(outcome.train_images))
    weight = (np.append(step, 0.0) + np.insert(step, 0, 0.0)) / (2 * step.sum())
    area: Doubles = outcome.right @ weight
    return area


METRICS = (
    Metric(
        data_efficiency,
        LearningCurve,
        interval="effective",
        higher_is_better=True,
        summary="area under accuracy against the log of the number of train images",
        per_example=area_per_example,
    ),
)
