"""Robustness to common corruptions (Hendrycks & Dietterich 2019, arXiv:1903.12261): a probe fitted on clean images, asked about corrupted ones.

The linear probe of `bob.protocols.linear`, fitted once; its error on the test images under every corruption at every severity, averaged. What the
corruptions are and how images are prepared for them stands in `bob.datasets.corruptions`.

Differs from the paper in these points:
- the paper's networks are trained end to end, these backbones are frozen under a probe;
- mCE divides each corruption's error by AlexNet's. On other data than ImageNet-C there is no such reference, so the error is not divided
  (`corruption_error`), and what corruption costs is a difference (`corruption_drop`) rather than the paper's relative mCE. A ratio to
  another backbone of the pool would change with the pool; the mean of ratios follows from the scores per corruption, which are in every record.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bob.numerics.linear.logistic_path import LogisticFit, scores
from bob.outcomes import ClassPredictions, CorruptionResults
from bob.protocols.linear import probe
from bob.protocols.protocol import Part, Problem, Result
from bob.specs.settings import CorruptionsSettings

Tests = Iterable[tuple[str, NDArray[np.float32]]]
"""Corruption, and rows (S, Q, D) of the problem's test images under it, one slice per severity of the settings."""


def corruptions(
    problem: Problem,
    tests: Tests,
    families: Mapping[str, Sequence[str]],
    settings: CorruptionsSettings,
    device: str,
) -> Result:
    """One fit on clean train; `tests` is walked through once. `families` sorts the corruptions."""
    fit, detail = probe(problem, settings.probe, device)
    clean = _asked(fit, problem.test_x, problem.test_y)
    under = {
        (corruption, severity): _asked(fit, rows[i], problem.test_y)
        for corruption, rows in tests
        for i, severity in enumerate(settings.severities)
    }
    right = np.stack([outcome.rank == 0 for outcome in under.values()], 1)
    return Result(
        (
            *_summaries(CorruptionResults(clean.rank == 0, right), list(under), families),
            *_conditions(clean, under),
        ),
        {**detail, "images": len(problem.test_y), "conditions": len(under)},
    )


def _asked(fit: LogisticFit, rows: NDArray[np.float32], y: NDArray[np.int64]) -> ClassPredictions:
    return ClassPredictions.from_logits(scores(fit, rows), y)


def _summaries(
    whole: CorruptionResults, conditions: Sequence[tuple[str, int]], families: Mapping[str, Sequence[str]]
) -> list[Part]:
    """The headline over all conditions, then by family, by corruption and by severity."""
    corruption, severity = (np.array(side) for side in zip(*conditions, strict=True))
    by_family = [
        Part(whole.under(np.isin(corruption, names)), name, facets={"family": name})
        for name, names in families.items()
    ]
    by_corruption = [
        Part(whole.under(corruption == name), name, "ranking", {"corruption": name})
        for name in dict.fromkeys(corruption.tolist())
    ]
    by_severity = [
        Part(whole.under(severity == s), f"severity{s}", "ranking", {"severity": s})
        for s in dict.fromkeys(severity.tolist())
    ]
    return [Part(whole), *by_family, *by_corruption, *by_severity]


def _conditions(clean: ClassPredictions, under: Mapping[tuple[str, int], ClassPredictions]) -> list[Part]:
    """Top-1 of the images as they are, and under each corruption at each severity."""
    asked = [
        Part(
            outcome,
            f"{corruption}_{severity}",
            ("top1",),
            {"corruption": corruption, "severity": severity},
        )
        for (corruption, severity), outcome in under.items()
    ]
    return [Part(clean, "clean", ("top1",), {"corruption": "none", "severity": 0}), *asked]
