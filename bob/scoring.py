"""From an outcome to a score: the metric's value with n and interval, or the reason why it has none."""

from bob.errors import UndefinedError
from bob.intervals import interval
from bob.metrics import metric_named
from bob.outcomes import Classified
from bob.records import Score


def score(metric: str, outcome: Classified, *, bootstrap_seed: int, seed: int | None, suffix: str = "") -> Score:
    """The score of `metric`. `seed` is the protocol's (None where it uses none); `suffix` tells variants apart, as in `top1_k20`."""
    name, n = metric + suffix, len(outcome)
    try:
        value, low, high, kind = interval(metric, outcome, bootstrap_seed)
    except UndefinedError as error:
        return Score(metric=name, seed=seed, value=None, low=None, high=None, n=n, interval=metric_named(metric).interval, undefined=str(error))
    return Score(metric=name, seed=seed, value=value, low=low, high=high, n=n, interval=kind)
