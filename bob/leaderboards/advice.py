"""Recommendation of a backbone within limits, with those statistically tied with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bob.leaderboards.cells import (
    BoardCell,
    BoardColumn,
    best_first,
    board_cells,
    comparable,
    is_baseline,
)
from bob.leaderboards.costs import COSTS, cost_of, devices
from bob.leaderboards.limits import BackboneLimits, limit_violations
from bob.leaderboards.pairwise import MeanDifference, Outcomes, compare
from bob.leaderboards.per_example import PerExample
from bob.leaderboards.ranking import Ranking, Standing, ranking
from bob.records.record import Record


@dataclass(frozen=True)
class Alternative:
    """Another backbone in place of the recommended one."""

    backbone: str
    change: MeanDifference | None
    """Its values minus the recommended one's, mean over settings; None if scales differ."""
    costs: dict[str, float | None]


@dataclass(frozen=True)
class Advice:
    """A recommendation."""

    limits: BackboneLimits
    ranking: Ranking
    """Ranking of the backbones within the limits."""
    pick: Standing | None
    """The recommended backbone; None if none within the limits has a value in every setting."""
    costs: dict[str, float | None]
    """Costs of the recommended backbone."""
    tied: tuple[Alternative, ...]
    """Backbones statistically tied with it, best first."""
    without_limits: Alternative | None
    """The best backbone without limits, if that is another one."""
    excluded: dict[str, str]
    """Backbones that violate the limits → the violations."""
    device: str | None
    """Device on which speeds were measured."""
    better_baselines: dict[BoardColumn, str]
    """Settings in which a baseline is better than the recommended backbone → that baseline."""


def advise(
    records: Sequence[Record], limits: BackboneLimits, per_example: PerExample, outcomes: Outcomes
) -> Advice:
    """Recommend the best backbone within the limits.

    Only measured results count; baselines and published results are never recommended.
    """
    measured = [record for record in comparable(records)[0] if record.external is None]
    excluded = limit_violations([record for record in measured if not is_baseline(record)], limits)
    cells = board_cells(measured)
    within = ranking(
        "within limits",
        [cell for cell in cells if cell.record.backbone_name not in excluded],
        per_example,
    )
    unlimited = ranking("without limits", cells, per_example) if excluded else within
    pick = within.standings[0] if within.standings else None
    device = limits.device or next(iter(devices(measured)), None)

    def costs(name: str) -> dict[str, float | None]:
        return {cost: cost_of(cost, name, measured, device) for cost in COSTS}

    def alternative(name: str, scope: Ranking) -> Alternative:
        scope_cells = [cell for cell in cells if cell.column in scope.settings]
        change = compare(name, pick.backbone, scope_cells, outcomes).overall if pick else None
        return Alternative(name, change, costs(name))

    tied = [standing.backbone for standing in within.standings[1:] if standing.tie_group == 1]
    best = unlimited.standings[0].backbone if unlimited.standings else None
    return Advice(
        limits=limits,
        ranking=within,
        pick=pick,
        costs=costs(pick.backbone) if pick else {},
        tied=tuple(alternative(name, within) for name in tied),
        without_limits=alternative(best, unlimited)
        if best and pick and best != pick.backbone
        else None,
        excluded=excluded,
        device=device,
        better_baselines=_better_baselines(pick, within.settings, cells) if pick else {},
    )


def _better_baselines(
    pick: Standing, settings: Sequence[BoardColumn], cells: Sequence[BoardCell]
) -> dict[BoardColumn, str]:
    valued = [cell for cell in cells if cell.value is not None and cell.column in settings]
    pick_cells = {
        cell.column: cell for cell in valued if cell.record.backbone_name == pick.backbone
    }
    better = [
        cell
        for cell in valued
        if is_baseline(cell.record)
        and cell.column in pick_cells
        and best_first(cell)[:2] < best_first(pick_cells[cell.column])[:2]
    ]
    return dict(sorted((cell.column, cell.record.backbone_name) for cell in better))
