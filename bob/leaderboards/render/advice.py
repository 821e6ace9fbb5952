"""The sentences of `bob-bench recommend`."""

from collections.abc import Iterable, Mapping

from bob.datasets.own_names import shown_dataset
from bob.io.text import short_number
from bob.leaderboards.advice import Advice, Alternative
from bob.leaderboards.cells import BoardCell, BoardColumn
from bob.leaderboards.costs import COSTS
from bob.leaderboards.pairwise import MeanDifference
from bob.leaderboards.ranking import Standing
from bob.leaderboards.render.ranking_table import pool_text
from bob.leaderboards.render.text import (
    BASIS_TEXT,
    MISSING,
    difference_text,
    listed,
    unit_text,
    unranked_sentence,
)
from bob.leaderboards.speeds import SpeedConditions

MAX_SETTINGS = 4
"""Settings named in one sentence."""

SUPERLATIVES = {"params": "smallest", "images_per_s": "fastest"}
"""Costs by which a backbone in the tie group may be preferable, and the word for the best."""


def advice_sentences(advice: Advice) -> list[str]:
    """Return the recommendation as sentences."""
    if advice.has_baselines_alone:
        return baselines_alone_sentences(advice)
    if advice.pick is None:
        return [_no_pick(advice), *_left_out(advice)]
    return [
        _pick(advice, advice.pick),
        *_basis(advice),
        *_tied(advice),
        *baseline_sentences(advice),
        *_cost_of_limits(advice),
        *_unmeasured_conditions(advice),
        *_left_out(advice),
    ]


def _no_pick(advice: Advice) -> str:
    limits = advice.limits.describe()
    if not advice.incomplete and (advice.excluded or advice.not_comparable):
        known = " as far as can be told" if advice.not_comparable else ""
        return f"No backbone meets the limits ({limits}){known}."
    within = f" within the limits ({limits})" if limits else ""
    remedy = "`--tasks` and `--datasets` select fewer."
    return f"No backbone{within} has a value in every setting. {remedy}"


def _pick(advice: Advice, pick: Standing) -> str:
    limits = advice.limits.describe()
    within = f" with {limits}," if limits else ""
    scores = []
    if pick.mean_value is not None:
        scores.append(f"mean {100 * pick.mean_value:.1f} %")
    if pick.mean_z is not None:
        ranked = len(advice.ranking.standings)
        among = f" among all {ranked}" if len(advice.candidates) < ranked else ""
        scores.append(f"mean z-score {pick.mean_z:.2f}{among}")
    details = ", ".join([*scores, _cost_text(advice.costs, advice.conditions)])
    scope = pool_text(advice.ranking, len(advice.candidates))
    return f"Use {pick.backbone}: the best backbone{within} over {scope} ({details})."


def _basis(advice: Advice) -> list[str]:
    return [BASIS_TEXT[advice.ranking.basis]] if len(advice.ranking.standings) > 1 else []


def _tied(advice: Advice) -> list[str]:
    """Return what the tests say of the other candidates against the recommended one."""
    if len(advice.ranking.standings) == 1:
        return ["It is the only backbone in the pool, so nothing was compared."]
    if len(advice.candidates) == 1:
        return ["No other ranked backbone meets the limits."]
    sentences = []
    others = "All other backbones" + (" within the limits" if advice.limits.describe() else "")
    if advice.tied:
        texts = [_alternative_text(other, advice.conditions) for other in advice.tied]
        sentences = [
            f"Statistically tied with it: {listed(texts, '; ')}.",
            *preferable_sentences(advice),
        ]
    elif not advice.untested:
        sentences = [f"{others} are significantly worse."]
    if advice.untested and advice.ranking.basis != "none":
        sentences.append(
            "Not tested against it, because there are no results on the same examples: "
            f"{listed(advice.untested)}."
        )
    return sentences


def preferable_sentences(advice: Advice) -> list[str]:
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
                f"The {superlative} of these is {best}: "
                f"{COSTS[cost].versus(costs[best], pick_cost)}."
            )
    return sentences


BASELINE_RELATIONS = {
    "better": "significantly better",
    "tied": "statistically tied",
    "untested": "not tested",
    "worse": "significantly worse",
}
"""What the test says of a baseline with a better score."""


def baseline_sentences(advice: Advice) -> list[str]:
    """Return a sentence about the settings in which a baseline is better, if there are any."""
    if not advice.better_baselines:
        return []
    texts = [
        f"{column} ({baseline.backbone}: {BASELINE_RELATIONS[baseline.relation]})"
        for column, baseline in advice.better_baselines.items()
    ]
    more = f" and {len(texts) - MAX_SETTINGS} more" if len(texts) > MAX_SETTINGS else ""
    return [
        f"A baseline has a better score in {len(texts)} of {len(advice.ranking.settings)} "
        f"settings: {', '.join(texts[:MAX_SETTINGS])}{more}."
    ]


def baselines_alone_sentences(advice: Advice) -> list[str]:
    """Say what baselines reach, and how to compare backbones with them."""
    texts = [_reached(column, cell) for column, cell in advice.best_baselines.items()]
    more = [f"{len(texts) - MAX_SETTINGS} more"] if len(texts) > MAX_SETTINGS else []
    return [
        "Only baselines have results: what needs no learning reaches "
        f"{listed([*texts[:MAX_SETTINGS], *more], '; ')}.",
        "A pretrained backbone is worth its cost where it is clearly better. To compare some, run "
        "the same tasks and data with `--backbones group:samples,family:baseline`, or with others "
        "that `bob-bench list backbones` shows.",
    ]


def _reached(column: BoardColumn, cell: BoardCell) -> str:
    """Return `47.7 % in knn on photos (raw_pixels; majority class 18.5 %)`."""
    metric, value, majority = cell.metric, cell.value, cell.majority
    beside = f"; majority class {unit_text(metric, majority)}" if majority is not None else ""
    score = MISSING if value is None else unit_text(metric, value)
    where = f"{column.task} on {shown_dataset(column.dataset)}"
    return f"{score} in {where} ({cell.record.backbone_name}{beside})"


def _cost_of_limits(advice: Advice) -> list[str]:
    """Report the accuracy that the limits cost, if there are limits."""
    if not advice.limits.describe():
        return []
    best = advice.without_limits
    if best is None:
        return ["The limits cost nothing: it is also the best without them."]
    consequence = {
        "better": "this difference is what the limits cost",
        "tied": "the limits may cost nothing, since this difference is not significant",
    }.get(best.relation, "whether the limits cost anything cannot be tested")
    text = _alternative_text(best, advice.conditions)
    return [f"Without the limits, the best is {text}: {consequence}."]


def _unmeasured_conditions(advice: Advice) -> list[str]:
    """Say that a device or runtime was named on which nothing was measured."""
    limits = advice.limits
    if advice.conditions is not None or (limits.device is None and limits.runtime is None):
        return []
    names = [f"on {limits.device}"] if limits.device else []
    names += [f"with {limits.runtime}"] if limits.runtime else []
    return [f"No speed was measured {' '.join(names)}."]


def _left_out(advice: Advice) -> list[str]:
    sentences = [unranked_sentence(advice.ranking, advice.incomplete)]
    if advice.excluded:
        sentences.append(f"Excluded by the limits: {_listed(advice.excluded)}.")
    if advice.not_comparable:
        sentences.append(
            f"Left out, because speeds under different conditions are not comparable: "
            f"{_listed(advice.not_comparable)}. `--runtime` and `--device` compare within one; "
            "`bob-bench run --runtime NAME --fresh` measures again."
        )
    return [sentence for sentence in sentences if sentence]


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name} ({reason})" for name, reason in reasons.items())


def _alternative_text(alternative: Alternative, conditions: SpeedConditions | None) -> str:
    """Return `NAME (+1.2 points [-0.3, +2.7], 20 M parameters)`."""
    details = [_change_text(alternative.change), _cost_text(alternative.costs, conditions)]
    return f"{alternative.backbone} ({_joined(details)})"


def _change_text(change: MeanDifference | None) -> str:
    """Return `+1.2 points [-0.3, +2.7]`; empty if scales differ."""
    if change is None:
        return ""
    difference, _, interval = difference_text(
        "top1", change.value, change.low, change.high
    ).partition(" ")
    return f"{difference} points{' ' + interval if interval else ''}"


def _cost_text(costs: Mapping[str, float | None], conditions: SpeedConditions | None) -> str:
    params, speed = costs["params"], costs["images_per_s"]
    texts = [
        COSTS["params"].text(params) if params is not None else "",
        f"{short_number(speed)} images/s on {conditions.text()}" if speed and conditions else "",
    ]
    return _joined(texts) or "costs unknown"


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(text for text in texts if text)
