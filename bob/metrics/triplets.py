"""The metric of triplets."""

from bob.metrics.metric import Metric, mean_of
from bob.outcomes import TripletChoices


def two_afc(outcome: TripletChoices) -> float:
    """Return the share of triplets in which features choose as people do (two-alternative forced
    choice).

    Range [0, 1]; a tie counts half, so that equal features have 0.5. Source: Fu et al. 2023
    (arXiv:2306.09344), after Zhang et al. 2018 (arXiv:1801.03924).
    """
    return mean_of(outcome.agreement, if_empty="there are no triplets")


METRICS = (
    Metric(
        two_afc,
        TripletChoices,
        interval="wilson",
        higher_is_better=True,
        summary="choices of the more similar of two images that agree with people's (2AFC)",
        per_example=lambda outcome: outcome.agreement,
        chance=lambda outcome: 0.5,
    ),
)
