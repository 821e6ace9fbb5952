"""Problems of the classification protocols."""

import numpy as np

from bob.protocols.classification import ClassificationProblem


def posed(x, y, test_x, test_y, classes=4) -> ClassificationProblem:
    """Return a problem whose first fifth of train is held out."""
    held_out = np.zeros(len(y), bool)
    held_out[: len(y) // 5] = True
    return ClassificationProblem(x, y, held_out, test_x, test_y, classes)
