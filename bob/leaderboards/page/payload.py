"""The JSON that the page's scripts read: `payload` at once, `details` on demand.

Every table and chart of the page is drawn from these two.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from bob.leaderboards.board import Board
from bob.leaderboards.cells import BoardColumn, facts_by_backbone
from bob.leaderboards.costs import devices
from bob.leaderboards.covariance import ScoreCovariance
from bob.leaderboards.page.cell_details import cell_details
from bob.leaderboards.page.encode import float32s
from bob.leaderboards.page.facts import (
    backbone_json,
    dataset_json,
    records_by_backbone,
    task_json,
)
from bob.leaderboards.page.grid import CellGrid, grid
from bob.leaderboards.ranking import Ranking
from bob.leaderboards.render.text import board_notes
from bob.metrics.score_ranges import base_metric
from bob.records.record import BackboneFacts, Record, created


class PageLayout:
    """The columns, backbones, tasks and datasets of the page in order; the JSON uses indices."""

    def __init__(self, board: Board) -> None:
        self.board, self.records = board, board.records
        self.cells: CellGrid = {
            (cell.column, cell.record.backbone_name): cell for cell in board.cells
        }
        self.columns = sorted({column for column, _ in self.cells})
        self.names = sorted({name for _, name in self.cells})
        self.tasks = sorted({column.task for column in self.columns})
        self.datasets = sorted({column.dataset for column in self.columns})

    def payload(self) -> dict[str, Any]:
        """Return everything that the first view needs."""
        tasks = {record.task.name: record for record in self.records}
        datasets = {
            record.dataset_name: record.dataset for record in self.records if record.dataset
        }
        rankings = (*self.board.rankings, *self.board.by_task.values())
        return {
            "created": creation_summary(self.records),
            "device": self.device,
            "backbones": self._backbones(),
            "datasets": [dataset_json(name, datasets.get(name)) for name in self.datasets],
            "tasks": [task_json(tasks[name]) for name in self.tasks],
            "columns": [self._column(column) for column in self.columns],
            "cells": grid(self.columns, self.names, self.cells),
            "rankings": [self._ranking(ranking) for ranking in rankings],
            "covariance": self._covariances(),
            "has": {"curves": has_curves(self.records), "shifts": has_facet(self.records, "shift")},
            "notes": board_notes(self.board),
        }

    def details(self) -> dict[str, Any]:
        """Return what only cards and curves need."""
        return cell_details(self.columns, self.names, self.cells, self.board.robustness)

    @cached_property
    def device(self) -> str | None:
        """The device on which the speeds that the page compares were measured."""
        return next(iter(devices(self.records)), None)

    @cached_property
    def _backbone_index(self) -> Mapping[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def _backbones(self) -> list[dict[str, Any]]:
        facts, records = facts_by_backbone(self.records), records_by_backbone(self.records)
        return [
            backbone_json(name, records[name], facts[name], self.device)
            | {"pretrained_on": self._pretrained_on(facts[name])}
            for name in self.names
        ]

    def _pretrained_on(self, facts: BackboneFacts | None) -> list[int]:
        """Return the datasets of the page whose images are in the backbone's pretraining data."""
        seen = facts.pretraining.seen if facts and facts.pretraining else ()
        return [self.datasets.index(name) for name in seen if name in self.datasets]

    def _column(self, column: BoardColumn) -> dict[str, Any]:
        """Describe a column: its task and dataset, and the paired tests against its best backbone.

        `tied` lists the backbones tied with the best, `p` maps each backbone to its p-value.
        """
        described: dict[str, Any] = {
            "task": self.tasks.index(column.task),
            "dataset": self.datasets.index(column.dataset),
        }
        ties = self.board.ties.get(column)
        if ties:
            described["tied"] = [
                self._backbone_index[name] for name, tie in ties.items() if tie.group == 1
            ]
            described["p"] = {
                str(self._backbone_index[name]): float(f"{tie.p:.2g}") for name, tie in ties.items()
            }
        return described

    def _ranking(self, ranking: Ranking) -> dict[str, Any]:
        """Describe a ranking together with its columns, by which the page looks it up.

        Each standing is [backbone, win share, lowest rank, highest rank, tie group].
        """
        standings = [
            [
                self._backbone_index[standing.backbone],
                standing.win_share,
                standing.rank_low,
                standing.rank_high,
                standing.tie_group,
            ]
            for standing in ranking.standings
        ]
        return {
            "columns": [self.columns.index(column) for column in ranking.settings],
            "basis": ranking.basis,
            "standings": standings,
        }

    def _covariances(self) -> dict[str, Any] | None:
        """Return, per dataset, the indices of its cells and their covariances row by row."""
        covariances = self.board.covariances
        if not covariances:
            return None
        return {
            "datasets": [
                self._covariance(covariances[name]) if name in covariances else None
                for name in self.datasets
            ]
        }

    def _covariance(self, covariance: ScoreCovariance) -> dict[str, Any]:
        indices = [
            self.columns.index(column) * len(self.names) + self._backbone_index[name]
            for column, name in covariance.cells
        ]
        return {"cells": indices, "values": float32s(covariance.values.ravel().tolist())}


def has_facet(records: Iterable[Record], name: str) -> bool:
    """Return whether some score has the facet `name`."""
    return any(name in score.facets for record in records for score in record.scores)


def has_curves(records: Iterable[Record]) -> bool:
    """Return whether some metric was measured at several values of a number: shots, k, severity."""
    facets = {
        (record.task.name, record.task.metrics, score.metric): score.facets
        for record in records
        for score in record.scores
        if score.facets
    }
    values: dict[tuple[str, str, str], set[float]] = {}
    for (task, metrics, score_name), score_facets in facets.items():
        metric = base_metric(score_name, metrics)
        for facet, value in score_facets.items():
            if isinstance(value, int | float):
                values.setdefault((task, metric, facet), set()).add(value)
    return any(len(distinct) > 1 for distinct in values.values())


def creation_summary(records: Iterable[Record]) -> dict[str, Any]:
    """Return the first and last day of the records, and their versions of bob-bench."""
    records = list(records)
    days = sorted({created(record)[:10] for record in records if created(record)})
    versions = sorted(
        {str(record.provenance["bob"]) for record in records if "bob" in record.provenance}
    )
    return {
        "first": days[0] if days else None,
        "last": days[-1] if days else None,
        "versions": versions,
    }
