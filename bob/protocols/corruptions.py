"""Robustness to common corruptions: a probe fitted on clean images, tested on corrupted ones.

After Hendrycks & Dietterich 2019 (arXiv:1903.12261), with the linear probe of
`bob.protocols.linear`, fitted once; its error on the test images under every corruption at every
severity, averaged. `bob.datasets.corruptions` defines the corruptions.

Calibration is that of `bob.protocols.calibration`, as in Ovadia et al. 2019 (arXiv:1906.02530): one
temperature from clean held-out train rows, applied unchanged under every corruption.

Differs from the paper in these points:
- the paper's networks are trained end to end, these backbones are frozen under a probe;
- mCE divides each corruption's error by AlexNet's. On other data than ImageNet-C there is no such
  reference, so the error is not divided (`corruption_error`), and the cost of corruption is a
  difference (`corruption_drop`) rather than the paper's relative mCE. A ratio to another backbone
  of the pool would change with the pool; the mean of ratios follows from the scores per corruption,
  which are in every record.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from bob.datasets.corruptions import CORRUPTION_FAMILIES, missing_library
from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import Corruption, ImageSet, sample_positions
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.outcomes import ClassPredictions, CorruptionProbabilities, CorruptionResults
from bob.protocols.calibration import held_out_temperature, temperature_caveats
from bob.protocols.caveats import Caveats
from bob.protocols.classification import (
    CLASS_KINDS,
    ClassificationProblem,
    classification_needs,
    classification_problem,
    features_by_split,
    held_out_of,
    samples_held_out,
)
from bob.protocols.linear import FittedProbe, LinearSettings, fit_probe
from bob.protocols.needs import FeatureNeed, Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from bob.numerics.linear.logistic_path import LogisticFit

SMALLEST_SIDE_PX = 32
"""Some corruptions are undefined for smaller images."""
OF_CALIBRATION = ("corruption_log_loss", "corruption_ece", "corruption_brier")
Severity = Annotated[int, Field(ge=1, le=5)]
FamilyName = Literal["noise", "blur", "weather", "digital", "extra"]


class CorruptionsSettings(Closed):
    """Settings of the corruptions task."""

    families: tuple[FamilyName, ...] = Field(strict=False, min_length=1)
    """Families of corruptions; the first four are the common 15, `extra` the 4 meant for tuning."""
    severities: tuple[Severity, ...] = Field(strict=False, min_length=1)
    images: Count | None
    """Largest number of test images, sampled in the proportions of classes; None is all."""
    side_px: Count
    """Length of the shorter side of an image when it is corrupted."""
    probe: LinearSettings
    """The probe that is fitted on clean train images."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "CorruptionsSettings":
        for name, values in (("families", self.families), ("severities", self.severities)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must differ; got {list(values)!r}")
        if self.side_px < SMALLEST_SIDE_PX:
            raise ValueError(
                f"side_px must be at least {SMALLEST_SIDE_PX}, below which some corruptions are "
                f"undefined; got {self.side_px!r}"
            )
        return self

    def corruptions(self) -> dict[str, Sequence[str]]:
        """Return the corruptions by family."""
        return {family: CORRUPTION_FAMILIES[family] for family in self.families}


@dataclass(frozen=True, eq=False)
class CorruptionsProblem:
    """Clean features with their roles, and test features under every corruption."""

    clean: ClassificationProblem
    corrupted: "Iterator[tuple[str, Floats]]"
    """Corruptions with their features (S, Q, D), one slice per severity; can be read once."""


class CorruptionRobustness(Protocol[CorruptionsSettings, CorruptionsProblem]):
    """A probe fitted on clean train images, scored on clean and on corrupted test images."""

    name = "corruptions"
    settings = CorruptionsSettings
    kinds = CLASS_KINDS
    outcomes = (CorruptionResults, CorruptionProbabilities, ClassPredictions)

    def needs(
        self, settings: CorruptionsSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        if missing := missing_library():
            raise NotApplicableError(missing)
        corrupted = [
            FeatureNeed(backbone, ImageSet("test", _corruption(settings, name)))
            for names in settings.corruptions().values()
            for name in names
        ]
        return [*classification_needs(dataset, backbone), *corrupted]

    def build(
        self,
        settings: CorruptionsSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> CorruptionsProblem:
        """Return the problem of the sampled test images that could be read."""
        test, features = dataset.splits["test"], features_by_split(needs, inputs)
        positions = sample_positions(test, settings.images)
        features["test"] = features["test"].view(positions)
        sampled = dataclasses.replace(
            dataset, splits={**dataset.splits, "test": test.take(positions)}
        )
        clean = classification_problem(sampled, features, held_out_of(settings), seed)
        readable, severities = features["test"].positions, len(settings.severities)
        corrupted = (
            (need.name, _of_readable(inputs.features(need), readable, len(positions), severities))
            for need in needs
            if isinstance(need, FeatureNeed) and need.images.corruption is not None
        )
        return CorruptionsProblem(clean, corrupted)

    def solve(
        self, problem: CorruptionsProblem, settings: CorruptionsSettings, device: str
    ) -> Result:
        probe = fit_probe(problem.clean, settings.probe, device)
        temperatures, caveats = _temperatures(problem.clean, probe, settings.probe, device)
        y = problem.clean.test_y
        clean_logits = _logits(probe.fit, problem.clean.test_x)
        clean = ClassPredictions.from_logits(clean_logits, y)
        conditions: dict[tuple[str, int], ClassPredictions] = {}
        probabilities = {
            kind: [_calibrated(clean_logits, y, t)] for kind, t in temperatures.items()
        }
        for corruption, rows in problem.corrupted:
            for i, severity in enumerate(settings.severities):
                logits = _logits(probe.fit, rows[i])
                conditions[corruption, severity] = ClassPredictions.from_logits(logits, y)
                for kind, t in temperatures.items():
                    probabilities[kind].append(_calibrated(logits, y, t))
        correct = np.stack([outcome.rank == 0 for outcome in conditions.values()], 1)
        subsets = [*_subsets(list(conditions), settings.corruptions())]
        parts = [
            *_summaries(CorruptionResults(clean.rank == 0, correct), subsets),
            *_condition_parts(clean, conditions),
            *_calibration_parts(probabilities, subsets),
        ]
        detail = {**probe.detail, "images": len(y), "conditions": len(conditions)}
        if "calibrated" in temperatures:
            detail["temperature"] = temperatures["calibrated"]
        return Result(tuple(parts), detail, probe.caveats + caveats)

    def uses_seed(self, settings: CorruptionsSettings, dataset: Dataset) -> bool:
        return samples_held_out(settings, dataset)


def _corruption(settings: CorruptionsSettings, name: str) -> Corruption:
    return Corruption(name, settings.severities, settings.side_px, settings.images)


def _of_readable(features: Features, readable: Ints, images: int, severities: int) -> Floats:
    """Return features (S, Q, D) of the readable images from those of S x N images."""
    at = (np.arange(severities)[:, None] * images + readable).ravel()
    rows: Floats = features.view(at).rows.reshape(severities, len(readable), -1)
    return rows


def _logits(fit: "LogisticFit", rows: Floats) -> Doubles:
    from bob.numerics.linear.logistic_path import scores

    return scores(fit, rows)


def _calibrated(logits: Doubles, y: Ints, temperature: float) -> CorruptionProbabilities:
    return CorruptionProbabilities.from_logits(logits / temperature, y)


def _temperatures(
    clean: ClassificationProblem, probe: FittedProbe, settings: LinearSettings, device: str
) -> tuple[dict[str, float], Caveats]:
    """Return the temperatures by kind of probabilities; `raw` alone without one held-out share."""
    if clean.fold is not None:
        return {"raw": 1.0}, ()
    temperature = held_out_temperature(clean, probe, settings, device)
    return {"calibrated": temperature, "raw": 1.0}, temperature_caveats(temperature)


@dataclass(frozen=True, eq=False)
class _Subset:
    """Some of the conditions."""

    suffix: str
    facets: Mapping[str, str | int | float]
    conditions: Bools
    """(K,) which conditions are in it."""
    metrics: Literal["all", "ranking"] = "ranking"
    """Metrics of the errors under these conditions."""


def _subsets(
    conditions: Sequence[tuple[str, int]], families: Mapping[str, Sequence[str]]
) -> Iterator[_Subset]:
    """Yield all conditions, then those of each family, corruption and severity."""
    corruption, severity = (np.array(values) for values in zip(*conditions, strict=True))
    yield _Subset("", {}, np.ones(len(conditions), bool), "all")
    for family, names in families.items():
        yield _Subset(family, {"family": family}, np.isin(corruption, names), "all")
    for name in dict.fromkeys(corruption.tolist()):
        yield _Subset(name, {"corruption": name}, corruption == name)
    for level in dict.fromkeys(severity.tolist()):
        yield _Subset(f"severity{level}", {"severity": level}, severity == level)


def _summaries(results: CorruptionResults, subsets: Sequence[_Subset]) -> Iterator[ResultPart]:
    """Yield the errors of each subset of conditions; that of all is the headline."""
    for subset in subsets:
        outcome = results.under(subset.conditions)
        yield ResultPart(outcome, subset.suffix, subset.metrics, subset.facets)


def _calibration_parts(
    probabilities: Mapping[str, Sequence[CorruptionProbabilities]], subsets: Sequence[_Subset]
) -> Iterator[ResultPart]:
    """Yield log-loss, ECE and Brier score without corruption and of each subset.

    The first of the `probabilities` of each kind, calibrated and raw, are those of clean images.
    """
    for kind, (clean, *conditions) in probabilities.items():
        corrupted = CorruptionProbabilities.side_by_side(conditions)
        of_subsets = [
            (subset.suffix, corrupted.under(subset.conditions), subset.facets) for subset in subsets
        ]
        for suffix, outcome, facets in [("clean", clean, {"severity": 0}), *of_subsets]:
            words = [suffix, "raw" if kind == "raw" else ""]
            yield ResultPart(
                outcome,
                "_".join(filter(None, words)),
                OF_CALIBRATION,
                {**facets, "probabilities": kind},
            )


def _condition_parts(
    clean: ClassPredictions, conditions: Mapping[tuple[str, int], ClassPredictions]
) -> Iterator[ResultPart]:
    """Yield top-1 of the clean images, and under each corruption at each severity."""
    yield ResultPart(clean, "clean", ("top1",), {"corruption": "none", "severity": 0})
    for (corruption, severity), outcome in conditions.items():
        facets: dict[str, str | int | float] = {
            "corruption": corruption,
            "severity": severity,
        }
        yield ResultPart(outcome, f"{corruption}_{severity}", ("top1",), facets)


PROTOCOL = CorruptionRobustness()
