"""What several backbones gain together over the best of them, with linear probes.

Two fusions of the probes of `bob.protocols.linear`:
- `average`: the mean of their log-probabilities;
- `concatenation`: one probe on the features of all, each block centred on train and divided by the
  root of its mean squared length there, so that no block's scale decides; C is chosen anew.

The best single backbone and the fusion are both chosen on held-out train rows, by probes fitted
without these; test images are read once. Ensembles and rescues: Gontijo-Lopes et al. 2022
(arXiv:2110.12899), Roth et al. 2024 (arXiv:2310.17653), which choose on the reported data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.outcomes import ClassPredictions
from bob.protocols.classification import ClassificationProblem
from bob.protocols.linear import LinearSettings, fit_probe, held_out_logits

if TYPE_CHECKING:
    from bob.statistics.paired_tests import PairedDifference

FusionMode = Literal["average", "concatenation"]


@dataclass(frozen=True, eq=False)
class FusedRow:
    """A backbone or a fusion: its accuracy on held-out rows, and what it gets right on test."""

    held_out_top1: float
    outcome: ClassPredictions
    """Predictions for the Q test images."""

    @property
    def right(self) -> Bools:
        """Return (Q,) whether the prediction is right."""
        return np.asarray(self.outcome.rank == 0)

    @property
    def top1(self) -> float:
        return float(self.right.mean())


@dataclass(frozen=True, eq=False)
class Fusion:
    """Several backbones alone and together."""

    singles: Mapping[str, FusedRow]
    fused: Mapping[FusionMode, FusedRow]

    @property
    def best_single(self) -> str:
        """The backbone with the highest held-out accuracy; the first of equals."""
        return max(self.singles, key=lambda name: self.singles[name].held_out_top1)

    @property
    def mode(self) -> FusionMode:
        """The fusion with the highest held-out accuracy; the average of equals."""
        return max(self.fused, key=lambda mode: self.fused[mode].held_out_top1)

    @property
    def gain(self) -> "PairedDifference":
        """The chosen fusion minus the chosen single backbone, on the same test images."""
        from bob.statistics.paired_tests import compare_paired  # loads scipy, which lists need not

        fused, single = self.fused[self.mode].right, self.singles[self.best_single].right
        return compare_paired(fused.astype(np.float64), single.astype(np.float64))

    @property
    def oracle_gain(self) -> float:
        """Share of test images that any backbone has right, minus that of the chosen one."""
        anyone = np.any([row.right for row in self.singles.values()], axis=0)
        return float(anyone.mean()) - self.singles[self.best_single].top1


def fuse(
    problems: Mapping[str, ClassificationProblem], settings: LinearSettings, device: str
) -> Fusion:
    """Return the fusion of problems of the same images, by the names of their backbones.

    `settings` must hold out a share, not folds.
    """
    logits = {name: _logits(problem, settings, device) for name, problem in problems.items()}
    first = next(iter(problems.values()))
    held_y, test_y = first.y[first.held_out], first.test_y
    singles = {name: _row(*pair, held_y, test_y) for name, pair in logits.items()}
    held, test = (
        np.mean([_log_softmax(pair[side]) for pair in logits.values()], axis=0) for side in (0, 1)
    )
    together = _logits(concatenated(list(problems.values())), settings, device)
    fused: dict[FusionMode, FusedRow] = {
        "average": _row(held, test, held_y, test_y),
        "concatenation": _row(*together, held_y, test_y),
    }
    return Fusion(singles, fused)


def concatenated(problems: list[ClassificationProblem]) -> ClassificationProblem:
    """Return the problem with the features of all, block by block, centred and scaled."""
    blocks = [_centred_and_scaled(problem.x, problem.test_x) for problem in problems]
    x, test_x = (np.concatenate([block[side] for block in blocks], axis=1) for side in (0, 1))
    return replace(problems[0], x=x, test_x=test_x)


def _centred_and_scaled(x: Floats, test_x: Floats) -> tuple[Floats, Floats]:
    mean = x.mean(0, dtype=np.float64)
    size = float(np.abs(x - mean).max()) or 1.0  # so that no square leaves float64's range
    length = size * float(np.sqrt(((((x - mean) / size) ** 2).sum(1)).mean())) or 1.0
    first, second = (((rows - mean) / length).astype(np.float32) for rows in (x, test_x))
    return first, second


def _logits(
    problem: ClassificationProblem, settings: LinearSettings, device: str
) -> tuple[Doubles, Doubles]:
    """Return logits of the held-out rows (H, C), without them in the fit, and of test (Q, C)."""
    from bob.numerics.linear.logistic_path import scores

    probe = fit_probe(problem, settings, device)
    held = held_out_logits(problem, probe, settings, device)
    return held, scores(probe.fit, problem.test_x)


def _log_softmax(logits: Doubles) -> Doubles:
    from scipy.special import log_softmax

    values: Doubles = log_softmax(logits, axis=1)
    return values


def _row(held: Doubles, test: Doubles, held_y: Ints, test_y: Ints) -> FusedRow:
    outcome = ClassPredictions.from_logits(test, test_y)
    return FusedRow(float((held.argmax(1) == held_y).mean()), outcome)
