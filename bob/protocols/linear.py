"""Linear probe: multinomial logistic regression with L2 on frozen features, solved to its optimum.

Follows the log-regression evaluation of CLIP (Radford et al. 2021, arXiv:2103.00020), Kornblith et al. 2019 (arXiv:1805.08974) and DINOv2
(eval/log_regression.py): raw features, C over 45 values of 10^linspace(-6, 5), C chosen on held-out train data, refit on all of train.

Differs in these points:
- the grid is widened where the best C lies on its edge, and the record says so;
- held-out data is the dataset's val split, else a stratified share of train that keeps groups and byte-identical images on one side, or (`folds`)
  each of several such parts in turn, of which the mean top-1 decides;
- the solver stops on a bound of its distance from the optimum, not on a number of iterations, and the record carries the bound.
"""

from typing import Any

import numpy as np

from bob.numerics.linear.logistic_path import LogisticFit, scores
from bob.numerics.linear.selection import select_and_refit, select_by_folds
from bob.outcomes import ClassPredictions
from bob.protocols.protocol import Part, Problem, Result
from bob.specs import LinearSettings


def linear(problem: Problem, settings: LinearSettings, device: str) -> Result:
    """C chosen on held-out train rows, refit on all of train, scored on test."""
    fit, detail = probe(problem, settings, device)
    outcome = ClassPredictions.from_logits_in_blocks(
        lambda rows: scores(fit, problem.test_x[rows]), problem.test_y, problem.classes
    )
    return Result((Part(outcome),), detail)


def probe(problem: Problem, settings: LinearSettings, device: str) -> tuple[LogisticFit, dict[str, Any]]:
    """The probe of all of train, and the record's detail about how it was chosen. Test is not read."""
    first, last, count = settings.log10_c
    grid = 10.0 ** np.linspace(first, last, count)
    data = problem.x, problem.y, problem.classes, grid
    if problem.fold is None:
        selection = select_and_refit(
            *data, problem.held_out, tolerance=settings.tolerance, device=device
        )
    else:
        selection = select_by_folds(
            *data, problem.fold, tolerance=settings.tolerance, device=device
        )
    fit = selection.fit
    return fit, {
        "c": selection.c,
        "c_at_edge": selection.at_edge,
        "grid_widened": selection.widened,
        "held_out_top1": selection.held_out_top1,
        "held_out_rows": int(problem.held_out.sum()) if problem.fold is None else len(problem.y),
        **({} if problem.fold is None else {"folds": len(np.unique(problem.fold))}),
        "converged": fit.converged,
        "gap": fit.gap,
        "objective": fit.objective,
        "passes": fit.passes,
    }
