"""Classification."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from bob.protocols.protocol import Problem


def blobs(n=240, q=120, d=12, classes=4, seed=0, spread=1.5):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    y, test_y = np.arange(n) % classes, np.arange(q) % classes
    x = (centres[y] + spread * rng.normal(size=(n, d))).astype(np.float32)
    return x, y, (centres[test_y] + spread * rng.normal(size=(q, d))).astype(np.float32), test_y


def posed(x, y, test_x, test_y, classes=4) -> Problem:
    held_out = np.zeros(len(y), bool)
    held_out[: len(y) // 5] = True
    return Problem(x, y, held_out, test_x, test_y, classes)


def sklearn_at(x, y, c, max_iter=20_000):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=c, tol=1e-10, max_iter=max_iter).fit(x.astype(np.float64), y)
