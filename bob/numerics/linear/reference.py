"""Reference implementation of the logistic path in a few lines: scipy's L-BFGS in float64.

It minimises the objective of `bob.numerics.linear.logistic_path`, chooses C on held-out rows and
refits as `bob.numerics.linear.selection` does, but has no eigenbasis, preconditioner or certificate
and neither ends a path early nor extends the grid. It shares no code with the fast path. Tests
compare the two; anyone who doubts the fast path can run this instead.
"""

from collections.abc import Iterator

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from bob.numerics.arrays import Bools, Doubles, Floats, Ints

Model = tuple[Doubles, Doubles]
"""Weights (C, D) and biases (C,)."""
OPTIONS = {"maxiter": 20_000, "maxfun": 20_000, "maxcor": 30, "ftol": 1e-15, "gtol": 1e-9}


def penalty_of(c: float, n: int, classes: int) -> float:
    """Return λ of scikit-learn's C for N rows; two classes: its sigmoid as a softmax."""
    return (2 if classes == 2 else 1) / (c * n)


def logits(model: Model, x: Floats) -> Doubles:
    """Return the (N, C) logits of rows (N, D)."""
    result: Doubles = x.astype(np.float64) @ model[0].T + model[1]
    return result


def log_loss(model: Model, x: Floats, y: Ints) -> float:
    """Return the mean cross-entropy, nats."""
    return float(-log_softmax(logits(model, x), axis=1)[np.arange(len(y)), y].mean())


def objective(model: Model, x: Floats, y: Ints, c: float) -> float:
    """Return the mean cross-entropy + λ/2 ‖W‖²."""
    penalty = penalty_of(c, len(y), len(model[1]))
    return log_loss(model, x, y) + penalty / 2 * float((model[0] ** 2).sum())


def fit_path(x: Floats, y: Ints, classes: int, grid: Doubles) -> Iterator[Model]:
    """Minimise the objective at each C of an ascending grid, starting from the previous optimum."""
    centre, one_hot = x.mean(0, dtype=np.float64), np.eye(classes)[y]
    rows = np.column_stack((x - centre, np.ones(len(x))))
    theta = np.zeros(classes * rows.shape[1])
    for c in grid:
        penalty = np.full(rows.shape[1], penalty_of(c, len(y), classes))
        penalty[-1] = 0  # the bias is free
        data = rows, one_hot, penalty
        theta = minimize(_loss, theta, data, jac=True, method="L-BFGS-B", options=OPTIONS).x
        weight = theta.reshape(classes, -1)
        yield weight[:, :-1], weight[:, -1] - weight[:, :-1] @ centre


def _loss(
    theta: Doubles, rows: Doubles, one_hot: Doubles, penalty: Doubles
) -> tuple[float, Doubles]:
    """Return the objective at θ and its gradient, both of centred rows that end with a 1."""
    weight = theta.reshape(one_hot.shape[1], -1)
    log_p = log_softmax(rows @ weight.T, axis=1)
    gradient = (np.exp(log_p) - one_hot).T @ rows / len(rows) + penalty * weight
    value = -(one_hot * log_p).sum() / len(rows) + (penalty * weight**2).sum() / 2
    return float(value), gradient.ravel()


def select_and_refit(
    x: Floats, y: Ints, classes: int, grid: Doubles, held_out: Bools
) -> tuple[float, Model]:
    """Choose C by top-1 on the held-out rows, then fit all rows at it; return both.

    Ties go to the lower held-out log-loss, then to the smaller C.
    """
    ranks = []
    for c, model in zip(grid, fit_path(x[~held_out], y[~held_out], classes, grid), strict=True):
        top1 = float((logits(model, x[held_out]).argmax(1) == y[held_out]).mean())
        ranks.append((top1, -log_loss(model, x[held_out], y[held_out]), -float(c)))
    best = -max(ranks)[2]
    (model,) = fit_path(x, y, classes, np.array([best]))
    return best, model
