"""Per-example values of records, by which backbones are compared on the same examples."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics import METRICS
from bob.metrics.intervals import DRAWS, resampled
from bob.metrics.metric import Metric
from bob.numerics.arrays import Bools, Doubles
from bob.records.record import Record
from bob.statistics.jackknife import one_sample_values, resample_values
from bob.statistics.paired_tests import PairedTest, choose_test

PerExample = Callable[[Record], Doubles | None]
"""Maps a record to the (N,) values of its examples (or queries, draws, resamples).

Their mean is its first metric, and their covariance divided by N that of its sampling error. None
if they are unavailable.
"""

CACHE_BYTES = 256 * 2**20
"""Most bytes of values that are kept for the next scope: of five tasks of 116 backbones on
ImageNet; eight times as many where all values are 0 or 1."""


def no_per_example(record: Record) -> None:
    """Return None: only the records are available."""


class ExampleValues:
    """Reads per-example values, and keeps those that were read last."""

    def __init__(self, read: PerExample, most_bytes: int = CACHE_BYTES) -> None:
        self._read, self._most_bytes = read, most_bytes
        self._values: dict[tuple[str, str, str, str], Doubles | Bools | None] = {}
        self._bytes = 0

    def __call__(self, record: Record) -> Doubles | None:
        """Return the (N,) values of a record; None for none, and for published results."""
        if record.external is not None:
            return None
        key = (record.key, record.backbone_name, record.task.name, record.dataset_name)
        if key not in self._values:
            values = _compact(self._read(record))
            self._bytes += 0 if values is None else values.nbytes
            self._values[key] = values
            while self._bytes > self._most_bytes and len(self._values) > 1:
                oldest = self._values.pop(next(iter(self._values)))
                self._bytes -= 0 if oldest is None else oldest.nbytes
        values = self._values[key]
        return None if values is None else np.asarray(values, np.float64)


def _compact(values: Doubles | None) -> Doubles | Bools | None:
    """Return values that are all 0 or 1, as those of accuracy, in an eighth of the memory."""
    if values is None:
        return None
    are_one = values == 1
    return are_one if np.array_equal(are_one, values) else values


def per_example_values(record: Record, arrays: Mapping[str, NDArray[np.generic]]) -> Doubles | None:
    """Return values (N,) as of `PerExample`, mean over seeds.

    `arrays` are the record's, by `SEED.NAME`. None if the metric is undefined or unknown, or if the
    arrays were stored by another version.
    """
    metric = METRICS.get(record.task.metrics[0])
    outcomes = headline_outcomes(record, arrays)
    if metric is None or not outcomes:
        return None
    try:
        by_seed = [_outcome_values(metric, outcome) for outcome in outcomes]
    except UndefinedError:
        return None
    present = [values for values in by_seed if values is not None]
    if len(present) < len(by_seed) or len({len(values) for values in present}) != 1:
        return None
    if len(present) == 1:
        return np.asarray(present[0], np.float64)
    mean: Doubles = np.mean(present, axis=0, dtype=np.float64)
    return mean


def _outcome_values(metric: Metric, outcome: Any) -> Doubles | None:
    """Return the values (N,) of one outcome.

    Of a metric that is not a mean over examples, they are made from its jackknife, or else from
    bootstrap resamples.
    """
    if metric.per_example is not None:
        return metric.per_example(outcome)
    value = metric.function(outcome)
    if metric.leave_one_out is not None:
        strata = np.zeros(len(outcome)) if metric.strata is None else metric.strata(outcome)
        return one_sample_values(value, np.asarray(metric.leave_one_out(outcome)), strata)
    return resample_values(value, resampled(outcome, metric, 0, DRAWS))


def paired_test(values: Doubles, metric: str) -> PairedTest:
    """Return the test that suits per-example values (R, N) of a metric."""
    definition = METRICS.get(metric)
    if definition is None or definition.per_example is not None:
        return choose_test(values, draws=has_draws(metric))
    return "jackknife" if definition.leave_one_out is not None else "bootstrap"


def has_draws(metric: str) -> bool:
    """Return whether the examples of a metric are draws of train images (few-shot)."""
    return metric in METRICS and METRICS[metric].interval == "t"


def headline_outcomes(record: Record, arrays: Mapping[str, NDArray[np.generic]]) -> list[Any]:
    """Return the outcome that the record's first metric is computed from, one per seed.

    `arrays` are the record's, by `SEED.NAME`. Empty if they were stored by another version.
    """
    metric = METRICS.get(record.task.metrics[0])
    by_seed: dict[str, dict[str, NDArray[np.generic]]] = {}
    for key, values in arrays.items():
        seed, *names = key.split(".")
        if len(names) == 1:  # the arrays of a task's further parts have longer names
            by_seed.setdefault(seed, {})[names[0]] = values
    if metric is None:
        return []
    try:
        return [metric.outcome.from_arrays(named) for named in by_seed.values()]
    except (ValueError, KeyError, TypeError):
        return []
