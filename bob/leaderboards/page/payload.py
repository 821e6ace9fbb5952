"""The JSON that the page's scripts read: `payload` at once, `details` on demand.

Every table and chart of the page is drawn from these two.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

from bob.leaderboards.board import Board
from bob.leaderboards.cells import BoardColumn, facts_by_backbone
from bob.leaderboards.page.cell_details import cell_details
from bob.leaderboards.page.encode import float32s
from bob.leaderboards.page.facts import (
    backbone_json,
    dataset_json,
    records_by_backbone,
    task_json,
)
from bob.leaderboards.page.grid import CellGrid, grid
from bob.leaderboards.page.view_list import view_list
from bob.leaderboards.references import ReferenceRow, reference_rows
from bob.leaderboards.render.text import board_notes
from bob.leaderboards.similarities import SIMILARITY_FIELDS
from bob.leaderboards.speeds import Speeds, speeds
from bob.metrics.score_ranges import base_metric
from bob.records.record import BackboneFacts, Record, created


class PageLayout:
    """The columns, backbones, tasks and datasets of the page in order; the JSON uses indices."""

    def __init__(self, board: Board, images: Sequence[str] = ()) -> None:
        self.board, self.records, self.images = board, board.records, images
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
        return {
            "created": creation_summary(self.records),
            "conditions": self.speeds.reference.text() if self.speeds.reference else None,
            "backbones": self._backbones(),
            "datasets": [dataset_json(name, datasets.get(name)) for name in self.datasets],
            "tasks": [task_json(tasks[name]) for name in self.tasks],
            "columns": [self._column(column) for column in self.columns],
            "cells": grid(self.columns, self.names, self.cells),
            "views": view_list(self.board.views, self.columns, self.names),
            "has": {
                "curves": has_curves(self.records),
                "shifts": has_facet(self.records, "shift"),
                "pairs": self._has_pairs(),
                "races": has_races(self.records),
            },
            "notes": board_notes(self.board),
        }

    def details(self) -> dict[str, Any]:
        """Return what only cards, curves and comparisons need."""
        details = cell_details(self.columns, self.names, self.cells, self.board.robustness)
        return details | {
            "pairs": self._pairs(),
            "similarities": self._similarities(),
            "images": list(self.images),
        }

    def _has_pairs(self) -> bool:
        """Return whether some pair of backbones has counts of images, or similar features."""
        counted = any(gaps.right is not None for gaps in self.board.pair_gaps.values())
        return counted or bool(self.board.similarities)

    def _pairs(self) -> dict[str, Any]:
        """Return the paired differences of each column that has some, by its index.

        of: backbones; low, high, both and relation (first letters of `Relation`, i against j):
        over their pairs (i, j), i < j, row by row; right: over the backbones.
        """
        place, pairs = self._place, {}
        for index, column in enumerate(self.columns):
            if (gaps := self.board.pair_gaps.get(column)) is not None:
                verdicts = self.board.verdicts[column]
                relations = (verdicts.relation(a, b)[0] for a, b in combinations(gaps.names, 2))
                pairs[str(index)] = {
                    "of": [place[name] for name in gaps.names],
                    "n": gaps.n,
                    "low": float32s(gaps.low.tolist()),
                    "high": float32s(gaps.high.tolist()),
                    "relation": "".join(relations),
                    "right": None if gaps.right is None else gaps.right.tolist(),
                    "both": None if gaps.both is None else gaps.both.tolist(),
                }
        return pairs

    def _similarities(self) -> list[dict[str, Any]]:
        """Return how alike features are, each time on the images of one split.

        of: backbones in clustered order; over their pairs as in `_pairs`: images, 0 where a pair
        was not compared, and each measure with its limits.
        """
        return [
            {
                "dataset": self.datasets.index(matrix.dataset),
                "split": matrix.split,
                "of": [self._place[name] for name in matrix.names],
                "images": [pair.images if pair else 0 for pair in matrix.pairs],
            }
            | {name: float32s(matrix.values(name)) for name in SIMILARITY_FIELDS}
            for matrix in self.board.similarities
        ]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def speeds(self) -> Speeds:
        return speeds(self.records)

    @cached_property
    def _references(self) -> dict[str, list[ReferenceRow]]:
        return {task: self._task_references(task) for task in self.tasks}

    def _task_references(self, task: str) -> list[ReferenceRow]:
        return reference_rows(self.board.task_cells(task), self.board.fused)

    def _backbones(self) -> list[dict[str, Any]]:
        facts, records = facts_by_backbone(self.records), records_by_backbone(self.records)
        return [
            backbone_json(name, records[name], facts[name], self.speeds)
            | {"pretrained_on": self._pretrained_on(facts[name])}
            for name in self.names
        ]

    def _pretrained_on(self, facts: BackboneFacts | None) -> list[int]:
        """Return the datasets of the page whose images are in the backbone's pretraining data."""
        seen = facts.pretraining.seen if facts and facts.pretraining else ()
        return [self.datasets.index(name) for name in seen if name in self.datasets]

    def _column(self, column: BoardColumn) -> dict[str, Any]:
        return {
            "task": self.tasks.index(column.task),
            "dataset": self.datasets.index(column.dataset),
            "references": [
                [row.name, row.values[column]]
                for row in self._references[column.task]
                if column in row.values
            ],
        }


def has_facet(records: Iterable[Record], name: str) -> bool:
    """Return whether some score has the facet `name`."""
    return any(name in score.facets for record in records for score in record.scores)


def has_races(records: Iterable[Record]) -> bool:
    """Return whether some backbone was dropped from a race, with what is known of it."""
    return any(record.status == "dropped" and record.details for record in records)


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
