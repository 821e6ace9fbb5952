"""The sentences of `bob-bench recommend`."""

from collections.abc import Iterable, Mapping

from bob.leaderboards.advice import Advice, Alternative
from bob.leaderboards.costs import COSTS, short_number
from bob.leaderboards.pairwise import MeanDifference
from bob.leaderboards.ranking import Standing
from bob.leaderboards.render.ranking_table import pool_text
from bob.leaderboards.render.text import BASIS_TEXT, difference_text

MAX_SETTINGS = 4
"""Settings named in one sentence."""

SUPERLATIVES = {"params": "smallest", "images_per_s": "fastest"}
"""Costs by which a backbone in the tie group may be preferable, and the word for the best."""


def advice_sentences(advice: Advice) -> list[str]:
    """Return the recommendation as sentences."""
    if advice.pick is None:
        return [_no_pick(advice), *_incomplete(advice), *_excluded(advice)]
    return [
        _pick(advice, advice.pick),
        *_basis(advice),
        *_tied(advice),
        *_better_baselines(advice),
        *_cost_of_limits(advice),
        *_incomplete(advice),
        *_excluded(advice),
    ]


def _no_pick(advice: Advice) -> str:
    limits = advice.limits.describe()
    if advice.excluded and not advice.ranking.incomplete:
        return f"No backbone meets the limits ({limits})."
    within = f" within the limits ({limits})" if limits else ""
    return f"No backbone{within} has a value in every setting."


def _pick(advice: Advice, pick: Standing) -> str:
    limits = advice.limits.describe()
    within = f" with {limits}," if limits else ""
    scores = []
    if pick.mean_value is not None:
        scores.append(f"mean {100 * pick.mean_value:.1f} %")
    if pick.mean_z is not None:
        scores.append(f"mean z-score {pick.mean_z:.2f}")
    details = ", ".join([*scores, _cost_text(advice.costs, advice.device)])
    pool = pool_text(advice.ranking)
    return f"Use {pick.backbone}: the best backbone{within} over {pool} ({details})."


def _basis(advice: Advice) -> list[str]:
    return [BASIS_TEXT[advice.ranking.basis]] if len(advice.ranking.standings) > 1 else []


def _tied(advice: Advice) -> list[str]:
    if len(advice.ranking.standings) == 1:
        return ["It is the only backbone in the pool, so nothing was compared."]
    if advice.tied:
        listed = "; ".join(_alternative_text(other, advice.device) for other in advice.tied)
        return [f"Statistically tied with it: {listed}.", *_preferable(advice)]
    if advice.ranking.standings[0].tie_group is not None:
        return ["All other backbones are significantly worse."]
    return []


def _preferable(advice: Advice) -> list[str]:
    """Name the smallest and the fastest backbone of the tie group, if not the recommended one."""
    sentences = []
    for cost, superlative in SUPERLATIVES.items():
        costs = {
            other.backbone: value
            for other in advice.tied
            if (value := other.costs[cost]) is not None
        }
        pick_cost = advice.costs[cost]
        if not costs or pick_cost is None:
            continue
        sign = 1 if COSTS[cost].less_is_better else -1
        best = min(costs, key=lambda name: sign * costs[name])
        if sign * costs[best] < sign * pick_cost:
            sentences.append(
                f"The {superlative} of these is {best}: {short_number(costs[best])} "
                f"{COSTS[cost].noun}, versus {short_number(pick_cost)}."
            )
    return sentences


def _better_baselines(advice: Advice) -> list[str]:
    if not advice.better_baselines:
        return []
    listed = [f"{column} ({baseline})" for column, baseline in advice.better_baselines.items()]
    more = f" and {len(listed) - MAX_SETTINGS} more" if len(listed) > MAX_SETTINGS else ""
    return [
        f"A baseline is better in {len(listed)} of {len(advice.ranking.settings)} settings: "
        f"{', '.join(listed[:MAX_SETTINGS])}{more}."
    ]


def _cost_of_limits(advice: Advice) -> list[str]:
    """Report the accuracy that the limits cost, if there are limits."""
    if not advice.limits.describe():
        return []
    best = advice.without_limits
    if best is None:
        return ["The limits cost nothing: it is also the best without them."]
    consequence = "this difference is what the limits cost"
    if best.change is not None and not best.change.is_significant:
        consequence = "the limits may cost nothing, since this difference is not significant"
    return [
        f"Without the limits, the best is {_alternative_text(best, advice.device)}: {consequence}."
    ]


def _incomplete(advice: Advice) -> list[str]:
    if not advice.ranking.incomplete:
        return []
    return [f"Not ranked, because values are missing: {_listed(advice.ranking.incomplete)}."]


def _excluded(advice: Advice) -> list[str]:
    if not advice.excluded:
        return []
    return [f"Excluded by the limits: {_listed(advice.excluded)}."]


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name} ({reason})" for name, reason in reasons.items())


def _alternative_text(alternative: Alternative, device: str | None) -> str:
    """Return `NAME (+1.2 points [-0.3, +2.7], 20 M parameters)`."""
    change = _change_text(alternative.change)
    return f"{alternative.backbone} ({_joined([change, _cost_text(alternative.costs, device)])})"


def _change_text(change: MeanDifference | None) -> str:
    """Return `+1.2 points [-0.3, +2.7]`; empty if scales differ."""
    if change is None:
        return ""
    difference, _, interval = difference_text(
        "top1", change.value, change.low, change.high
    ).partition(" ")
    return f"{difference} points{' ' + interval if interval else ''}"


def _cost_text(costs: Mapping[str, float | None], device: str | None) -> str:
    params, speed = costs["params"], costs["images_per_s"]
    texts = [
        f"{short_number(params)} M parameters" if params is not None else "",
        f"{short_number(speed)} images/s on {device}" if speed is not None else "",
    ]
    return _joined(texts) or "costs unknown"


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(text for text in texts if text)
