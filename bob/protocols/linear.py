"""Linear probe: multinomial logistic regression with L2 on frozen features, solved to its optimum.

Follows the log-regression evaluation of CLIP (Radford et al. 2021, arXiv:2103.00020), Kornblith et
al. 2019 (arXiv:1805.08974) and DINOv2 (eval/log_regression.py): raw features, C over 45 values of
10^linspace(-6, 5), C chosen on held-out train data, refit on all of train.

Differs in these points:
- the grid is widened where the best C is at its edge, and moved by whole steps where the features'
  spread (root mean square around the mean) is below 1e-3 or above 1e3, so that features in any unit
  have the same predictions. The record states both; a best C that is still at the edge, and a refit
  that did not converge, are marked in every table;
- held-out data is the dataset's val split, else a stratified share of train that keeps groups and
  byte-identical images on one side, or (`folds`) each of a number of such parts in turn, where the
  highest mean top-1 decides;
- the solver stops on a bound of its distance from the optimum, not on a number of iterations, and
  the record carries the bound. Values of C that are only compared stop on that bound or on an
  estimate of the distance, whichever comes first;
- not every C is compared as closely (`bob.numerics.linear.grid_search`): values half a decade apart
  come first, then those next to one that may be the best; the path ends where weaker penalties are
  worse, and only the best is solved to 1e-4 (all near it to 1e-5 in problems of at most 256
  weights). The record states how many were tried, why the path ended, and whether top-1 or, at
  equal top-1, log-loss or the stronger penalty decided; or that the chosen value has fewer rows
  right than another to 1e-3, within one standard error of the paired outcomes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from bob.numerics.arrays import Doubles
from bob.numerics.memo import Memo
from bob.outcomes import ClassPredictions
from bob.protocols.caveats import Caveats, at_edge, features_checked, not_converged
from bob.protocols.classification import ClassificationProblem, Classifier, answers_of
from bob.protocols.protocol import Result, ResultPart
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from bob.numerics.linear.logistic_path import LogisticFit
    from bob.numerics.linear.selection import Selection

SELECTIONS: "Memo[Selection]" = Memo(3)
"""The last probes: several tasks fit the same one to a dataset's features, with up to 3 seeds."""


class LinearSettings(Closed):
    """Settings of the linear probe."""

    log10_c: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of C (scikit-learn's C), and the number of values, evenly spaced."""
    held_out: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of train, per class, on which C is chosen where the dataset has no val split."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """In place of `held_out`: the number of stratified folds, whose mean top-1 chooses C."""
    tolerance: Annotated[float, Field(gt=0)]
    """Relative objective gap at which the refit stops."""

    @model_validator(mode="after")
    def _has_one_way_of_choosing(self) -> "LinearSettings":
        if (self.held_out is None) == (self.folds is None):
            both = f"held_out {self.held_out!r} and folds {self.folds!r}"
            raise ValueError(
                "C is chosen on a held-out share of train ('held_out', such as 0.2) or by 'folds' "
                f"(such as 5): give one; got {'neither' if self.folds is None else both}"
            )
        return self


class LinearProbe(Classifier[LinearSettings]):
    """C is chosen on held-out train rows; a refit on all train rows is scored on test."""

    name = "linear"
    settings = LinearSettings

    def solve(
        self, problem: ClassificationProblem, settings: LinearSettings, device: str
    ) -> Result:
        from bob.numerics.linear.logistic_path import scores

        probe = fit_probe(problem, settings, device)
        outcome = ClassPredictions.from_logits_in_blocks(
            lambda rows: scores(probe.fit, problem.test_x[rows]), problem.test_y, problem.classes
        )
        return Result(
            (ResultPart(outcome),), probe.detail, probe.caveats, {"": answers_of(outcome)}
        )


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """A linear probe, and the record of how its C was chosen."""

    fit: "LogisticFit"
    held_out_weights: tuple[Doubles, Doubles]
    """Weights (C, D) and biases (C,) at the same C without the held-out rows, as compared."""
    detail: dict[str, Any]
    caveats: Caveats


def fit_probe(problem: ClassificationProblem, settings: LinearSettings, device: str) -> FittedProbe:
    """Return the probe fitted to all train rows. Test rows are checked, and not used."""
    checked = features_checked(train=problem.x, test=problem.test_x)
    choice = problem.held_out if problem.fold is None else problem.fold
    arguments = (problem.x, problem.y, problem.classes, choice, settings.log10_c)
    selection = SELECTIONS.result(
        (*arguments, settings.tolerance, device), lambda: _selection(problem, settings, device)
    )
    if problem.fold is None:
        rows = {"held_out_rows": int(problem.held_out.sum())}
    else:
        rows = {"held_out_rows": len(problem.y), "folds": len(np.unique(problem.fold))}
    fit = selection.fit
    detail = {
        "c": selection.c,
        "c_at_edge": selection.at_edge,
        "grid_widened": selection.widened,
        "feature_spread": selection.spread,
        "grid_moved_decades": selection.moved,
        "held_out_top1": selection.held_out_top1,
        "c_decided_by": selection.rule,
        "path_ended_by": selection.end,
        "values_tried": selection.tried,
        "values_not_tried": len(selection.grid) - selection.tried,
        "values_solved_closely": selection.precise,
        **rows,
        "converged": fit.converged,
        "gap": fit.gap,
        "objective": fit.objective,
        "passes": fit.passes,
        "path_passes": selection.path_passes,
    }
    caveats = checked or _caveats(selection, settings.tolerance)
    return FittedProbe(fit, selection.held_out_weights, detail, caveats)


def _selection(
    problem: ClassificationProblem, settings: LinearSettings, device: str
) -> "Selection":
    """Choose C on held-out rows or by folds, and fit all train rows."""
    from bob.numerics.linear.selection import select_and_refit, select_by_folds

    first, last, count = settings.log10_c
    data = problem.x, problem.y, problem.classes, 10.0 ** np.linspace(first, last, count)
    if problem.fold is None:
        return select_and_refit(
            *data, problem.held_out, tolerance=settings.tolerance, device=device
        )
    return select_by_folds(*data, problem.fold, tolerance=settings.tolerance, device=device)


def held_out_logits(
    problem: ClassificationProblem, probe: FittedProbe, settings: LinearSettings, device: str
) -> Doubles:
    """Return logits (H, C) of the held-out rows by the probe at its C fitted without them.

    It is the one that the choice of C compared, fitted again where settings ask for a smaller gap.
    """
    from bob.numerics.linear.feature_rows import linear_scores
    from bob.numerics.linear.grid_search import PATH_TOLERANCE
    from bob.numerics.linear.logistic_path import fit_path

    held, tolerance = problem.held_out, settings.tolerance
    weight, bias = probe.held_out_weights
    if tolerance < PATH_TOLERANCE:
        data = problem.x[~held], problem.y[~held], problem.classes
        (fit,) = fit_path(*data, [probe.fit.c], tolerance=tolerance, device=device)
        weight, bias = fit.weight, fit.bias
    return linear_scores(weight, bias, problem.x[held])


def _caveats(selection: "Selection", tolerance: float) -> Caveats:
    """Return caveats on the refit and on the choice of C.

    Where all train rows are certain, weaker penalties change little: the last C is then no caveat.
    """
    first, last = selection.grid[0], selection.grid[-1]
    edge: Caveats = ()
    if len(selection.grid) > 1 and not (selection.certain and selection.c == last):
        edge = at_edge("C", selection.c, (first, last), selection.widened)
    return not_converged(selection.fit.gap, tolerance, "the linear probe") + edge


PROTOCOL = LinearProbe()
