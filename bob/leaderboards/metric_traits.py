"""How the values of a metric read: registered metrics, and those that published tables name."""

from functools import cache
from typing import NamedTuple

from bob.leaderboards.column_meanings import meaning_of
from bob.metrics import METRICS


class MetricTraits(NamedTuple):
    """Direction and scale of a metric."""

    higher_is_better: bool
    at_most_one: bool
    """Whether the highest value is 1, so that values are shown in percent."""
    is_share: bool
    """Whether it may be averaged over columns: in [0, 1], and higher is better."""
    describes: bool = False
    """Whether nothing is ranked by it."""


def metric_traits(name: str) -> MetricTraits:
    """Return the traits of a metric; of an unregistered one, those that its name shows.

    A name that shows nothing counts as a share where higher is better.
    """
    metric = METRICS.get(name)
    if metric is None:
        return _named_traits(name)
    return _traits(metric.higher_is_better, metric.lowest, metric.highest, metric.describes)


@cache
def _traits(higher_is_better: bool, lowest: float, highest: float, describes: bool) -> MetricTraits:
    is_share = higher_is_better and (lowest, highest) == (0, 1) and not describes
    return MetricTraits(higher_is_better, highest == 1, is_share, describes)


@cache
def _named_traits(name: str) -> MetricTraits:
    meaning = meaning_of(name)
    lower = meaning in ("error", "loss")
    return MetricTraits(not lower, meaning != "loss", not lower)
