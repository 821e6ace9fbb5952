"""Which backbone should I use? The pick, who is not told apart from it, and what one gives up."""

from collections.abc import Sequence
from dataclasses import dataclass

from bob.leaderboard.cells import Cell, Column, better_first, cells, comparable
from bob.leaderboard.costs import COSTS, cost_of, devices
from bob.leaderboard.limits import Limits, beyond
from bob.leaderboard.pairwise import Outcomes, Overall, compare
from bob.leaderboard.per_example import Evidence
from bob.leaderboard.ranking import Ranking, Standing, ranking
from bob.records.record import Record


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


def advise(
    records: Sequence[Record], limits: Limits, evidence: Evidence, outcomes: Outcomes
) -> Advice:
    """From one's own records; floors and published numbers are never recommended."""
    own = [record for record in comparable(records)[0] if record.external is None]
    excluded = beyond([record for record in own if record.family != "baseline"], limits)
    held = cells(own)
    within = ranking(
        "within limits",
        [cell for cell in held if cell.record.backbone_name not in excluded],
        evidence,
    )
    free = ranking("without limits", held, evidence) if excluded else within
    pick = within.standings[0] if within.standings else None
    device = limits.device or next(iter(devices(own)), None)

    def trade(name: str, scope: Ranking) -> Trade:
        return _trade(
            name,
            pick,
            [cell for cell in held if cell.column in scope.settings],
            own,
            outcomes,
            device,
        )

    tied = [standing.backbone for standing in within.standings[1:] if standing.tie_group == 1]
    best = (
        free.standings[0].backbone
        if free.standings and pick and free.standings[0].backbone != pick.backbone
        else None
    )
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


def _no_better(
    pick: Standing | None, settings: Sequence[Column], held: Sequence[Cell]
) -> dict[Column, str]:
    valued = [cell for cell in held if cell.value is not None and cell.column in settings]
    own = {
        cell.column: cell for cell in valued if pick and cell.record.backbone_name == pick.backbone
    }
    floors = [cell for cell in valued if cell.record.family == "baseline" and cell.column in own]
    better = [
        cell for cell in floors if better_first(cell)[:2] < better_first(own[cell.column])[:2]
    ]
    return dict(sorted((cell.column, cell.record.backbone_name) for cell in better))


def _trade(
    name: str,
    pick: Standing | None,
    held: Sequence[Cell],
    own: Sequence[Record],
    outcomes: Outcomes,
    device: str | None,
) -> Trade:
    change = compare(name, pick.backbone, held, outcomes).overall if pick else None
    return Trade(name, change, _costs(name, own, device))


def _costs(name: str, own: Sequence[Record], device: str | None) -> dict[str, float | None]:
    return {cost: cost_of(cost, name, own, device) for cost in COSTS}


# ---- in sentences
