"""From a part's outcome to scores: each metric's value with n and interval, or the reason why it has none."""

from collections.abc import Sequence

from bob.errors import UndefinedError
from bob.metrics import metric_named
from bob.metrics.intervals import interval
from bob.protocols.protocol import Part
from bob.records.record import Score

BOOTSTRAP_SEED = 0


def scores(part: Part, metrics: Sequence[str], seed: int | None) -> list[Score]:
    """The part's scores, `metrics` being the task's. `seed` is the protocol's, None where it uses none."""
    return [_score(part, name, seed) for name in _read_from(part, metrics)]


def _read_from(part: Part, metrics: Sequence[str]) -> Sequence[str]:
    if isinstance(part.metrics, tuple):
        return part.metrics
    if part.metrics == "ranking":
        return metrics[:1]
    return [
        name
        for name in metrics
        if part.outcome is None or isinstance(part.outcome, metric_named(name).outcome)
    ]


def _score(part: Part, metric: str, seed: int | None) -> Score:
    known, n = metric_named(metric), 0 if part.outcome is None else len(part.outcome)
    name = f"{metric}_{part.suffix}" if part.suffix else metric
    facets = dict(part.facets)
    try:
        if part.outcome is None:
            raise UndefinedError(part.undefined or "there is nothing to score")
        value, low, high, kind = interval(metric, part.outcome, BOOTSTRAP_SEED)
    except UndefinedError as error:
        return Score(
            metric=name,
            facets=facets,
            seed=seed,
            value=None,
            low=None,
            high=None,
            n=n,
            interval=known.interval,
            undefined=str(error),
        )
    return Score(
        metric=name, facets=facets, seed=seed, value=value, low=low, high=high, n=n, interval=kind
    )
