"""Calibration of the linear probe: before and after one temperature, and under shift.

The probe is that of `bob.protocols.linear`. The temperature minimises the log-loss of held-out rows
under the probe fitted without them (Guo et al. 2017, arXiv:1706.04599), and then divides the logits
of the probe fitted to all rows; it is applied unchanged to every shifted test set of the dataset,
as in Ovadia et al. 2019 (arXiv:1906.02530). No prediction changes. The risk-coverage curve shows
the error among the most confident images, for a classifier that may abstain.

Differs from Guo et al. in these points: the optimum is exact (`bob.numerics.temperature`), and the
held-out rows are part of the final fit, so that none are lost to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.outcomes import ClassPredictions, ClassProbabilities, SelectivePredictions
from bob.protocols.caveats import Caveats, at_edge, features_checked
from bob.protocols.classification import (
    CLASS_KINDS,
    ClassificationProblem,
    classification_needs,
    classification_problem,
    features_by_split,
    held_out_of,
    samples_held_out,
)
from bob.protocols.linear import FittedProbe, LinearSettings, fit_probe, held_out_logits
from bob.protocols.needs import FeatureNeed, Inputs, Needs
from bob.protocols.ood import features_of_shifts
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec

OF_PROBABILITIES = ("brier", "classwise_ece")
"""Metrics that need the probabilities of all classes."""


class CalibrationSettings(LinearSettings):
    """Settings of calibration: those of the linear probe, and points of a curve."""

    coverages: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(strict=False, min_length=1)
    """Shares of most confident images whose error is reported."""

    @model_validator(mode="after")
    def _holds_out_a_share(self) -> "CalibrationSettings":
        if self.folds is not None:
            raise ValueError(
                f"the temperature needs one held-out share ('held_out'); got folds {self.folds!r}"
            )
        return self


@dataclass(frozen=True, eq=False)
class CalibrationTest:
    """Test features and classes, and the classes among which they are scored."""

    x: Floats
    """(M, D)"""
    y: Ints
    """(M,)"""
    classes: tuple[int, ...] | None = None
    """None is all."""


@dataclass(frozen=True, eq=False)
class CalibrationProblem:
    """A classification problem, and the shifted test sets."""

    problem: ClassificationProblem
    shifts: Mapping[str, CalibrationTest]


class Calibration(Protocol[CalibrationSettings, CalibrationProblem]):
    """The probe's probabilities on test and on every shifted set, raw and after a temperature."""

    name = "calibration"
    settings = CalibrationSettings
    kinds = CLASS_KINDS
    outcomes = (ClassPredictions, ClassProbabilities, SelectivePredictions)

    def needs(
        self, settings: CalibrationSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        shifts = [name for name, shift in dataset.shifts.items() if shift.kind == "shift"]
        return [
            *classification_needs(dataset, backbone),
            *(FeatureNeed(backbone, ImageSet(name)) for name in shifts),
        ]

    def build(
        self,
        settings: CalibrationSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> CalibrationProblem:
        features = features_by_split(needs, inputs)
        problem = classification_problem(dataset, features, held_out_of(settings), seed)
        shifts = {}
        for name, of_shift in features_of_shifts(dataset, needs, inputs).items():
            shift = dataset.shifts[name]
            y = shift.split.y[of_shift.positions]
            shifts[name] = CalibrationTest(of_shift.rows, y, shift.classes)
        return CalibrationProblem(problem, shifts)

    def solve(
        self, problem: CalibrationProblem, settings: CalibrationSettings, device: str
    ) -> Result:
        from bob.numerics.linear.logistic_path import scores

        data = problem.problem
        checked = features_checked(**{name: test.x for name, test in problem.shifts.items()})
        probe = fit_probe(data, settings, device)
        temperature = held_out_temperature(data, probe, settings, device)
        tests = {"": CalibrationTest(data.test_x, data.test_y), **problem.shifts}
        parts = [
            part
            for name, test in tests.items()
            for part in _parts(name, scores(probe.fit, test.x), test, temperature, settings)
        ]
        detail = {**probe.detail, "temperature": temperature}
        caveats = probe.caveats + checked + temperature_caveats(temperature)
        return Result(tuple(parts), detail, caveats)

    def uses_seed(self, settings: CalibrationSettings, dataset: Dataset) -> bool:
        return samples_held_out(settings, dataset)


def held_out_temperature(
    problem: ClassificationProblem, probe: FittedProbe, settings: LinearSettings, device: str
) -> float:
    """Return the best temperature for held-out rows under the probe fitted without them."""
    return temperature_of(problem, held_out_logits(problem, probe, settings, device))


def temperature_of(problem: ClassificationProblem, logits: Doubles) -> float:
    """Return the best temperature for the logits (H, C) of the held-out rows."""
    from bob.numerics.temperature import best_temperature

    y = problem.y[problem.held_out]
    # no probe could be right on rows of classes that only held-out rows have
    known = np.isin(y, problem.y[~problem.held_out])
    return best_temperature(logits[known], y[known])


def temperature_caveats(temperature: float) -> Caveats:
    """Return a caveat where the temperature, to three digits, is at an edge of its range."""
    from bob.numerics.temperature import RANGE

    return at_edge("temperature", float(f"{temperature:.3g}"), RANGE, widened=False)


def _parts(
    name: str,
    logits: Doubles,
    test: CalibrationTest,
    temperature: float,
    settings: CalibrationSettings,
) -> Iterator[ResultPart]:
    """Yield the parts of a test set: calibrated, raw, and the risk-coverage curve."""
    y = test.y
    if test.classes is not None:
        scored = np.asarray(sorted(test.classes))
        examples = np.isin(y, scored)
        logits, y = logits[np.ix_(examples, scored)], np.searchsorted(scored, y[examples])
    raw = f"{name}_raw" if name else "raw"
    for suffix, kind, t in ((name, "calibrated", temperature), (raw, "raw", 1.0)):
        facets = {"set": name or "test", "probabilities": kind}
        predictions = ClassPredictions.from_logits(logits / t, y)
        yield ResultPart(predictions, suffix, "all", facets, stored=True)
        probabilities = ClassProbabilities.from_logits(logits / t, y)
        yield ResultPart(probabilities, suffix, OF_PROBABILITIES, facets)
    calibrated = ClassPredictions.from_logits(logits / temperature, y)
    yield from _curve(name, calibrated, settings.coverages)


def _curve(
    name: str, predictions: ClassPredictions, coverages: Sequence[float]
) -> Iterator[ResultPart]:
    """Yield the error at each coverage."""
    assert predictions.confidence is not None
    for coverage in coverages:
        selective = SelectivePredictions(predictions.rank == 0, predictions.confidence, coverage)
        suffix = f"{name}_{coverage:g}" if name else f"{coverage:g}"
        facets: dict[str, str | float] = {"set": name or "test", "coverage": coverage}
        yield ResultPart(selective, suffix, ("risk_at_coverage",), facets)


PROTOCOL = Calibration()
