"""Which backbone should I use? The pick, who is not told apart from it, and what one gives up."""

from collections.abc import Sequence
from dataclasses import dataclass

from bob.leaderboard.cells import Cell, Column, better_first, cells, comparable
from bob.leaderboard.costs import COSTS, cost_of, devices
from bob.leaderboard.limits import Limits, beyond
from bob.leaderboard.pairwise import Outcomes, Overall, compare
from bob.leaderboard.per_example import Evidence
from bob.leaderboard.ranking import Ranking, Standing, ranking
from bob.leaderboard.render.ranking_table import pool_text
from bob.leaderboard.render.text import BASIS_TEXT
from bob.records.record import Record

FEW = 4
"""Settings named in a sentence."""
CHEAPER = ("params", "images_per_s")
"""The costs by which a member of the tie group may be the better choice."""


@dataclass(frozen=True)
class Trade:
    """Another backbone instead of the pick."""

    backbone: str
    change: Overall | None
    """Its values minus the pick's, mean over settings; None where scales differ."""
    costs: dict[str, float | None]


@dataclass(frozen=True)
class Advice:
    """The answer; `pick` is None where no backbone meets the limits with every setting."""

    limits: Limits
    ranking: Ranking
    """Of those that meet the limits."""
    pick: Standing | None
    costs: dict[str, float | None]
    """Of the pick."""
    tied: tuple[Trade, ...]
    """Not told apart from the pick, best first."""
    given_up: Trade | None
    """The best without limits, where that is another backbone."""
    excluded: dict[str, str]
    """Who does not meet the limits → why."""
    device: str | None
    """Where speeds were measured."""
    no_better: dict[Column, str]
    """Settings in which a floor is better than the pick → which; what it has learnt does not help there."""


def advise(records: Sequence[Record], limits: Limits, evidence: Evidence, outcomes: Outcomes) -> Advice:
    """From one's own records; floors and published numbers are never recommended."""
    own = [record for record in comparable(records)[0] if record.external is None]
    excluded = beyond([record for record in own if record.family != "baseline"], limits)
    held = cells(own)
    within = ranking("within limits", [cell for cell in held if cell.record.backbone_name not in excluded], evidence)
    free = ranking("without limits", held, evidence) if excluded else within
    pick = within.standings[0] if within.standings else None
    device = limits.device or next(iter(devices(own)), None)

    def trade(name: str, scope: Ranking) -> Trade:
        return _trade(name, pick, [cell for cell in held if cell.column in scope.settings], own, outcomes, device)

    tied = [standing.backbone for standing in within.standings[1:] if standing.tie_group == 1]
    best = free.standings[0].backbone if free.standings and pick and free.standings[0].backbone != pick.backbone else None
    return Advice(
        limits=limits,
        ranking=within,
        pick=pick,
        costs=_costs(pick.backbone, own, device) if pick else {},
        tied=tuple(trade(name, within) for name in tied),
        given_up=trade(best, free) if best else None,
        excluded=excluded,
        device=device,
        no_better=_no_better(pick, within.settings, held),
    )


def _no_better(pick: Standing | None, settings: Sequence[Column], held: Sequence[Cell]) -> dict[Column, str]:
    valued = [cell for cell in held if cell.value is not None and cell.column in settings]
    own = {cell.column: cell for cell in valued if pick and cell.record.backbone_name == pick.backbone}
    floors = [cell for cell in valued if cell.record.family == "baseline" and cell.column in own]
    better = [cell for cell in floors if better_first(cell)[:2] < better_first(own[cell.column])[:2]]
    return dict(sorted((cell.column, cell.record.backbone_name) for cell in better))


def _trade(name: str, pick: Standing | None, held: Sequence[Cell], own: Sequence[Record], outcomes: Outcomes, device: str | None) -> Trade:
    change = compare(name, pick.backbone, held, outcomes).overall if pick else None
    return Trade(name, change, _costs(name, own, device))


def _costs(name: str, own: Sequence[Record], device: str | None) -> dict[str, float | None]:
    return {cost: cost_of(cost, name, own, device) for cost in COSTS}


# ---- in sentences


def sentences(advice: Advice) -> list[str]:
    """The answer for a person, one thought each."""
    if advice.pick is None:
        return [_nobody(advice), *_excluded(advice)]
    basis = [BASIS_TEXT[advice.ranking.basis]] if len(advice.ranking.standings) > 1 else []
    lines = [_pick(advice, advice.pick), *basis, *_tied(advice), *_floors(advice), *_given_up(advice)]
    if advice.ranking.left_out:
        lines.append("Not considered, for want of a value: " + "; ".join(f"{name} ({why})" for name, why in advice.ranking.left_out.items()) + ".")
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
        return ["Every other one is told apart from it."] if advice.ranking.standings[0].tie_group is not None else []
    listed = "; ".join(f"{trade.backbone} ({_change_text(trade.change)}{_cost_text(trade.costs, advice.device)})" for trade in advice.tied)
    return [f"Not told apart from it: {listed}.", *(text for cost in CHEAPER if (text := _cheaper(advice, cost)))]


def _floors(advice: Advice) -> list[str]:
    if not advice.no_better:
        return []
    listed = [f"{column} ({floor})" for column, floor in advice.no_better.items()]
    more = f" and {len(listed) - FEW} more" if len(listed) > FEW else ""
    return [f"A floor is better in {len(listed)} of {len(advice.ranking.settings)} settings: {', '.join(listed[:FEW])}{more}."]


def _cheaper(advice: Advice, cost: str) -> str:
    """Who of the tie group has the least of a cost, where that is not the pick."""
    sign = 1 if COSTS[cost].less_is_better else -1
    known = {trade.backbone: value for trade in advice.tied if (value := trade.costs[cost]) is not None}
    own = advice.costs[cost]
    if not known or own is None:
        return ""
    best = min(known, key=lambda name: sign * known[name])
    noun = "smallest" if cost == "params" else "fastest"
    return f"The {noun} of these is {best}, {known[best]:.3g} {COSTS[cost].noun} against {own:.3g}." if sign * known[best] < sign * own else ""


def _given_up(advice: Advice) -> list[str]:
    if not advice.limits.words():
        return []
    if advice.given_up is None:
        return ["The limits cost nothing: it is the best without them too."]
    other = advice.given_up
    sure = other.change is None or other.change.told_apart
    give = "that is what you give up" if sure else "that is what you may give up, if anything; the interval holds 0"
    return [f"Without the limits it would be {other.backbone} ({_change_text(other.change)}{_cost_text(other.costs, advice.device)}): {give}."]


def _excluded(advice: Advice) -> list[str]:
    return ["Beyond the limits: " + "; ".join(f"{name} ({why})" for name, why in advice.excluded.items()) + "."] if advice.excluded else []


def _change_text(change: Overall | None) -> str:
    """`+1.2 points [-0.3, 2.7], `; empty where scales differ."""
    if change is None:
        return ""
    limits = "" if change.low is None or change.high is None else f" [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
    return f"{100 * change.value:+.1f} points{limits}, "


def _cost_text(costs: dict[str, float | None], device: str | None) -> str:
    params, speed = costs["params"], costs["images_per_s"]
    known = [f"{params:.3g} M parameters" if params is not None else "", f"{speed:.3g} images/s on {device}" if speed is not None else ""]
    return ", ".join(text for text in known if text) or "costs not known"
