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
from bob.leaderboards.costs import COSTS, cost_of
from bob.leaderboards.limits import BackboneLimits, check_limits
from bob.leaderboards.pairwise import MeanDifference, mean_difference
from bob.leaderboards.per_example import ExampleValues, PerExample
from bob.leaderboards.ranking import Ranking, Rankings, Standing
from bob.leaderboards.speeds import SpeedConditions, speeds
from bob.leaderboards.verdicts import Relation
from bob.records.record import Record

MOST_WORSE = 3
"""Backbones that are worse than the recommended one, and described."""


@dataclass(frozen=True)
class Alternative:
    """Another backbone in place of the recommended one."""

    backbone: str
    relation: Relation
    """What the ranking's test says of it against the recommended one."""
    change: MeanDifference | None
    """Its values minus the recommended one's, mean over settings; None if scales differ."""
    costs: dict[str, float | None]


@dataclass(frozen=True)
class BetterBaseline:
    """A baseline that has a better score than the recommended backbone in one setting."""

    backbone: str
    relation: Relation
    """What the test says of the baseline against the recommended backbone."""


@dataclass(frozen=True)
class Advice:
    """A recommendation."""

    limits: BackboneLimits
    ranking: Ranking
    """Ranking of all backbones. Limits select among them, and change no verdict."""
    candidates: tuple[str, ...]
    """The ranked backbones within the limits, best first."""
    pick: Standing | None
    """The recommended backbone; None if none within the limits has a value in every setting."""
    costs: dict[str, float | None]
    """Costs of the recommended backbone."""
    tied: tuple[Alternative, ...]
    """Candidates statistically tied with it, best first."""
    worse: tuple[Alternative, ...]
    """Candidates significantly worse than it, best first; of many, the first MOST_WORSE."""
    untested: tuple[str, ...]
    """Candidates that were not tested against it."""
    without_limits: Alternative | None
    """The best backbone without limits, if that is another one."""
    excluded: dict[str, str]
    """Backbones that violate the limits → the violations."""
    not_comparable: dict[str, str]
    """Backbones whose speed cannot be compared with the limit → under which conditions it was
    measured."""
    conditions: SpeedConditions | None
    """Conditions of the speeds that are compared."""
    better_baselines: dict[BoardColumn, BetterBaseline]
    """Settings in which a baseline has a better score than the recommended backbone."""
    best_baselines: dict[BoardColumn, BoardCell]
    """Setting → the best score of a baseline."""
    backbones: tuple[str, ...]
    """All backbones with a result or a failure, ranked or not, without baselines."""

    @property
    def has_baselines_alone(self) -> bool:
        """Whether there are results of baselines, and not even failures of backbones."""
        return bool(self.best_baselines) and not self.backbones

    @property
    def incomplete(self) -> dict[str, str]:
        """Backbones within the limits that are not ranked → the missing settings."""
        outside = {**self.excluded, **self.not_comparable}
        return {
            name: missing
            for name, missing in self.ranking.incomplete.items()
            if name not in outside
        }


def advise(records: Sequence[Record], limits: BackboneLimits, per_example: PerExample) -> Advice:
    """Recommend the best backbone within the limits.

    Only measured results count; baselines and published results are never recommended.
    """
    kept = [record for record in comparable(records)[0] if record.external is None]
    ranked_records = [record for record in kept if not is_baseline(record)]
    measured = speeds(ranked_records, limits.device, limits.runtime)
    check = check_limits(ranked_records, limits, measured)
    cells, examples = board_cells(kept), ExampleValues(per_example)
    baselines = _best_baselines(cells)
    rankings = Rankings(cells, examples)
    ranking = rankings.over(rankings.columns)
    outside = check.excluded.keys() | check.not_comparable.keys()
    candidates = tuple(name for name in ranking.pool if name not in outside)
    standings = {standing.backbone: standing for standing in ranking.standings}
    pick = standings[candidates[0]] if candidates else None

    def costs(name: str) -> dict[str, float | None]:
        return {cost: cost_of(cost, name, ranked_records, measured) for cost in COSTS}

    def alternative(name: str, instead_of: str) -> Alternative:
        rows = ranking.data.ranked
        pairs = [(rows[name][column], rows[instead_of][column]) for column in ranking.settings]
        relation = ranking.verdicts.relation(name, instead_of)
        return Alternative(name, relation, mean_difference(pairs, examples), costs(name))

    def related(relation: Relation) -> tuple[str, ...]:
        if pick is None:
            return ()
        return ranking.verdicts.related(pick.backbone, relation, candidates)

    return Advice(
        limits=limits,
        ranking=ranking,
        candidates=candidates,
        pick=pick,
        costs=costs(pick.backbone) if pick else {},
        tied=tuple(alternative(name, candidates[0]) for name in related("tied")),
        worse=tuple(alternative(name, candidates[0]) for name in related("worse")[:MOST_WORSE]),
        untested=related("untested"),
        without_limits=alternative(ranking.pool[0], candidates[0])
        if candidates and candidates[0] != ranking.pool[0]
        else None,
        excluded=check.excluded,
        not_comparable=check.not_comparable,
        conditions=measured.reference,
        better_baselines=_better_baselines(pick.backbone, ranking, baselines, rankings)
        if pick
        else {},
        best_baselines=baselines,
        backbones=tuple(sorted({record.backbone_name for record in ranked_records})),
    )


def _best_baselines(cells: Sequence[BoardCell]) -> dict[BoardColumn, BoardCell]:
    """Return the best score of a baseline in each setting, the settings in order."""
    valued = [cell for cell in cells if cell.value is not None and is_baseline(cell.record)]
    best: dict[BoardColumn, BoardCell] = {}
    for cell in sorted(valued, key=best_first):
        best.setdefault(cell.column, cell)
    return dict(sorted(best.items()))


def _better_baselines(
    pick: str, ranking: Ranking, baselines: dict[BoardColumn, BoardCell], rankings: Rankings
) -> dict[BoardColumn, BetterBaseline]:
    """Return the best baseline of each setting in which one is better than the pick."""
    pick_cells = ranking.data.ranked[pick]
    result = {}
    for column, cell in baselines.items():
        if column not in ranking.settings:
            continue
        if best_first(cell)[:2] < best_first(pick_cells[column])[:2]:
            name = cell.record.backbone_name
            verdicts = rankings.over([column], resample=False).verdicts
            result[column] = BetterBaseline(name, verdicts.relation(name, pick))
    return result
