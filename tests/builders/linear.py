"""Data and problems for linear models, and scikit-learn's optimum as a second opinion."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.linear.logistic_path import LogisticFit, fit_path
from bob.numerics.linear.path_solver import MIN_OBJECTIVE, LogisticProblem, prepare
from bob.numerics.linear.reference import objective


def clusters(
    n: int, d: int, classes: int, seed: int = 0, apart: float = 1.0
) -> tuple[Floats, Ints]:
    """Gaussian clusters, at least one row per class; eigenvalues fall as 1 / rank."""
    rng = np.random.default_rng(seed)
    y = np.concatenate((np.arange(classes), rng.integers(0, classes, n - classes)))
    x = apart * rng.standard_normal((classes, d))[y] + rng.standard_normal((n, d))
    return (x / np.sqrt(1 + np.arange(d))).astype(np.float32), y


def isotropic_clusters(n: int, d: int, classes: int, seed: int = 0) -> tuple[Floats, Ints]:
    """Gaussian clusters, at least one row per class; all features of the same scale."""
    rng = np.random.default_rng(seed)
    y = np.concatenate((np.arange(classes), rng.integers(0, classes, n - classes)))
    x = rng.standard_normal((classes, d))[y] + rng.standard_normal((n, d))
    return x.astype(np.float32), y


def blobs(
    n: int = 240, q: int = 120, d: int = 12, classes: int = 4, seed: int = 0, spread: float = 1.5
) -> tuple[Floats, Ints, Floats, Ints]:
    """Gaussian clusters of equal size: train rows and labels, then `q` test rows and labels."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    y, test_y = np.arange(n) % classes, np.arange(q) % classes
    x = (centres[y] + spread * rng.normal(size=(n, d))).astype(np.float32)
    return x, y, (centres[test_y] + spread * rng.normal(size=(q, d))).astype(np.float32), test_y


DIFFICULT = (
    "easy",
    "two classes",
    "separable",
    "more features than rows",
    "one example per class",
    "a class with one example",
    "constant and duplicated features",
    "few distinct rows",
    "large",
    "small",
    "far from the origin",
    "many classes",
)


def difficult(name: str) -> tuple[Floats, Ints, int]:
    """Data that broke, or could break, a solver: rows, labels, number of classes."""
    x, y = clusters(150, 12, 4)
    match name:
        case "easy":
            return x, y, 4
        case "two classes":
            return *clusters(120, 10, 2), 2
        case "separable":
            return *clusters(90, 10, 3, apart=8), 3
        case "more features than rows":
            return *clusters(40, 90, 4), 4
        case "one example per class":
            return *clusters(5, 20, 5), 5
        case "a class with one example":
            return x, np.where((y == 3) & (np.arange(150) > 3), 0, y), 4
        case "constant and duplicated features":
            columns = x, x[:, :6], np.full((150, 1), 3.0), np.zeros((150, 2))
            return np.concatenate(columns, 1).astype(np.float32), y, 4
        case "few distinct rows":
            return np.repeat(x[:10], 15, 0), np.repeat(y[:10], 15), 4
        case "large":
            return x * np.float32(1e4), y, 4
        case "small":
            return x * np.float32(1e-4), y, 4
        case "far from the origin":
            return x + np.float32(100), y, 4
        case "many classes":
            return *clusters(240, 16, 60), 60
    raise AssertionError(name)


def total_variance(x: Floats) -> float:
    """Trace of the covariance: the size that C is relative to."""
    return float((x - x.mean(0)).var(0).sum())


def sklearn_at(x: Floats, y: Ints, c: float, max_iter: int = 20_000) -> LogisticRegression:
    """scikit-learn's logistic regression at C, in float64, converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=c, tol=1e-10, max_iter=max_iter).fit(x.astype(np.float64), y)


def sklearn_optimum(x: Floats, y: Ints, c: float) -> tuple[Doubles, Doubles]:
    """Weights and bias of the softmax objective by scikit-learn in float64.

    It is given features that it can handle: centred and scaled by their largest entry.
    """
    classes = len(np.unique(y))
    centre, size = x.astype(np.float64).mean(0), float(np.abs(x - x.mean(0)).max())
    model = LogisticRegression(C=c * size**2, solver="newton-cg", tol=1e-11, max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit((x - centre) / size, y)
    weight, bias = model.coef_ / size, model.intercept_
    if classes == 2:
        weight, bias = np.concatenate((-weight, weight)) / 2, np.concatenate((-bias, bias)) / 2
    return weight, bias - weight @ centre


def relative_gap(fit: LogisticFit, x: Floats, y: Ints, optimum: float) -> float:
    """Distance of a fit's objective from the optimum, as `LogisticFit.gap` bounds it."""
    value = objective((fit.weight, fit.bias), x, y, fit.c)
    return float((value - optimum) / max(value, MIN_OBJECTIVE * np.log(len(fit.bias))))


def stratified_fold_numbers(x: Floats, y: Ints, count: int) -> Ints:
    """The number of each row's fold, (N,), by scikit-learn."""
    fold = np.empty(len(y), np.int64)
    splitter = StratifiedKFold(count, shuffle=True, random_state=0)
    for number, (_, held_out) in enumerate(splitter.split(x, y)):
        fold[held_out] = number
    return fold


def fitted_problem(
    n: int = 60, width: int = 5, classes: int = 4, c: float = 0.3
) -> tuple[LogisticProblem, torch.Tensor, float]:
    """Return a small problem, θ (C, R + 1) near its optimum in its eigenbasis, and λ."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = rng.standard_normal((classes, width))[y] + rng.standard_normal((n, width))
    x = x.astype(np.float32)
    problem = prepare(x, y, classes, "cpu")
    (fit,) = fit_path(x, y, classes, [c])
    weight, bias = torch.from_numpy(fit.weight), torch.from_numpy(fit.bias)
    theta = torch.zeros(classes, width + 1, dtype=torch.float64)
    theta[:, :-1] = weight @ problem.eigenbasis.vectors
    theta[:, -1] = bias + weight @ problem.eigenbasis.centre
    problem.evaluate_origin()
    return problem, theta, 1 / (c * n)
