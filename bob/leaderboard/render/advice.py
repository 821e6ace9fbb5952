"""Advice."""

from bob.leaderboard.advice import Advice
from bob.leaderboard.costs import COSTS
from bob.leaderboard.pairwise import Overall
from bob.leaderboard.ranking import Standing
from bob.leaderboard.render.ranking_table import pool_text
from bob.leaderboard.render.text import BASIS_TEXT

FEW = 4
"""Settings named in a sentence."""


CHEAPER = ("params", "images_per_s")
"""The costs by which a member of the tie group may be the better choice."""


def sentences(advice: Advice) -> list[str]:
    """The answer for a person, one thought each."""
    if advice.pick is None:
        return [_nobody(advice), *_excluded(advice)]
    basis = [BASIS_TEXT[advice.ranking.basis]] if len(advice.ranking.standings) > 1 else []
    lines = [
        _pick(advice, advice.pick),
        *basis,
        *_tied(advice),
        *_floors(advice),
        *_given_up(advice),
    ]
    if advice.ranking.left_out:
        lines.append(
            "Not considered, for want of a value: "
            + "; ".join(f"{name} ({why})" for name, why in advice.ranking.left_out.items())
            + "."
        )
    return [*lines, *_excluded(advice)]


def _nobody(advice: Advice) -> str:
    limits = advice.limits.words()
    asked = f" that meets the limits ({limits})" if limits else ""
    missing = "".join(f" {name}: {why}." for name, why in advice.ranking.left_out.items())
    return f"No backbone{asked} has a value in every setting.{missing}"


def _pick(advice: Advice, pick: Standing) -> str:
    limits = advice.limits.words()
    among = f" of those with {limits}" if limits else ""
    value = "" if pick.mean_value is None else f", mean {100 * pick.mean_value:.1f} %"
    z = "" if pick.mean_z is None else f", mean z-score {pick.mean_z:.2f}"
    return f"Use {pick.backbone}: the best{among}, over {pool_text(advice.ranking)}{value}{z} ({_cost_text(advice.costs, advice.device)})."


def _tied(advice: Advice) -> list[str]:
    if len(advice.ranking.standings) == 1:
        return ["It is the only one, so that nothing was compared."]
    if not advice.tied:
        return (
            ["Every other one is told apart from it."]
            if advice.ranking.standings[0].tie_group is not None
            else []
        )
    listed = "; ".join(
        f"{trade.backbone} ({_change_text(trade.change)}{_cost_text(trade.costs, advice.device)})"
        for trade in advice.tied
    )
    return [
        f"Not told apart from it: {listed}.",
        *(text for cost in CHEAPER if (text := _cheaper(advice, cost))),
    ]


def _floors(advice: Advice) -> list[str]:
    if not advice.no_better:
        return []
    listed = [f"{column} ({floor})" for column, floor in advice.no_better.items()]
    more = f" and {len(listed) - FEW} more" if len(listed) > FEW else ""
    return [
        f"A floor is better in {len(listed)} of {len(advice.ranking.settings)} settings: {', '.join(listed[:FEW])}{more}."
    ]


def _cheaper(advice: Advice, cost: str) -> str:
    """Who of the tie group has the least of a cost, where that is not the pick."""
    sign = 1 if COSTS[cost].less_is_better else -1
    known = {
        trade.backbone: value for trade in advice.tied if (value := trade.costs[cost]) is not None
    }
    own = advice.costs[cost]
    if not known or own is None:
        return ""
    best = min(known, key=lambda name: sign * known[name])
    noun = "smallest" if cost == "params" else "fastest"
    return (
        f"The {noun} of these is {best}, {known[best]:.3g} {COSTS[cost].noun} against {own:.3g}."
        if sign * known[best] < sign * own
        else ""
    )


def _given_up(advice: Advice) -> list[str]:
    if not advice.limits.words():
        return []
    if advice.given_up is None:
        return ["The limits cost nothing: it is the best without them too."]
    other = advice.given_up
    sure = other.change is None or other.change.told_apart
    give = (
        "that is what you give up"
        if sure
        else "that is what you may give up, if anything; the interval holds 0"
    )
    return [
        f"Without the limits it would be {other.backbone} ({_change_text(other.change)}{_cost_text(other.costs, advice.device)}): {give}."
    ]


def _excluded(advice: Advice) -> list[str]:
    return (
        [
            "Beyond the limits: "
            + "; ".join(f"{name} ({why})" for name, why in advice.excluded.items())
            + "."
        ]
        if advice.excluded
        else []
    )


def _change_text(change: Overall | None) -> str:
    """`+1.2 points [-0.3, 2.7], `; empty where scales differ."""
    if change is None:
        return ""
    limits = (
        ""
        if change.low is None or change.high is None
        else f" [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
    )
    return f"{100 * change.value:+.1f} points{limits}, "


def _cost_text(costs: dict[str, float | None], device: str | None) -> str:
    params, speed = costs["params"], costs["images_per_s"]
    known = [
        f"{params:.3g} M parameters" if params is not None else "",
        f"{speed:.3g} images/s on {device}" if speed is not None else "",
    ]
    return ", ".join(text for text in known if text) or "costs not known"
