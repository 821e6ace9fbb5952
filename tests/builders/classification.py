"""Problems of the classification protocols."""

import numpy as np

from bob.numerics.arrays import Floats, Ints
from bob.protocols.classification import ClassificationProblem


def make_problem(
    x: Floats, y: Ints, test_x: Floats, test_y: Ints, classes: int = 4
) -> ClassificationProblem:
    """Return a problem whose first fifth of train is held out."""
    held_out = np.zeros(len(y), bool)
    held_out[: len(y) // 5] = True
    return ClassificationProblem(x, y, held_out, test_x, test_y, classes)
