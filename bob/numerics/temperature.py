"""One temperature that calibrates logits."""

import numpy as np

from bob.numerics.arrays import Doubles, Ints

RANGE = (1e-2, 1e2)
"""Least and largest temperature. Where every held-out row is predicted right, the optimum is 0."""
HALVINGS = 60


def best_temperature(logits: Doubles, y: Ints) -> float:
    """Return the T in `RANGE` with the lowest mean of −ln softmax(z / T)_y.

    logits (N, C), y (N,). In β = 1 / T the mean is convex, with the derivative mean(E_p[z] − z_y),
    whose root is found by bisection of ln β (Guo et al. 2017, arXiv:1706.04599; their code takes 50
    steps of L-BFGS, which may stop short of it).
    """
    low, high = -np.log(RANGE[1]), -np.log(RANGE[0])
    true = logits[np.arange(len(y)), y]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _slope(logits, true, float(np.exp(middle))) > 0:
            high = middle
        else:
            low = middle
    return float(np.exp(-(low + high) / 2))


def _slope(logits: Doubles, true: Doubles, beta: float) -> float:
    """Return the derivative of the mean at β."""
    from scipy.special import softmax

    expected = (softmax(beta * logits, axis=1) * logits).sum(1)
    return float((expected - true).mean())
