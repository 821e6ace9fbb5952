"""What the page's scripts read: `payload`, at once, and `parts`, on demand. Every table and chart of the page is drawn from these."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from bob.leaderboard.board import Board
from bob.leaderboard.cells import Cell, Column, base_of, cells, facts_by_backbone
from bob.leaderboard.costs import devices
from bob.leaderboard.covariance import Covariance
from bob.leaderboard.page.encode import float32s
from bob.leaderboard.page.facts import backbone, by_name, dataset, task
from bob.leaderboard.page.grid import grid
from bob.leaderboard.page.parts import parts
from bob.leaderboard.ranking import Ranking
from bob.leaderboard.render.text import notes
from bob.records.record import BackboneFacts, Record, created


class Layout:
    """Which columns and backbones the page has, in order, and what stands where. Everything refers to them by place."""

    def __init__(self, board: Board) -> None:
        self.board, self.records = board, board.kept
        self.held: Mapping[tuple[Column, str], Cell] = {
            (cell.column, cell.record.backbone_name): cell for cell in cells(board.kept)
        }
        self.columns = sorted({column for column, _ in self.held})
        self.names = sorted({name for _, name in self.held})
        self.tasks = sorted({column.task for column in self.columns})
        self.datasets = sorted({column.dataset for column in self.columns})

    def payload(self) -> dict[str, Any]:
        """Everything that the first view needs."""
        held = {record.task.name: record for record in self.records}
        known = {record.dataset_name: record.dataset for record in self.records if record.dataset}
        return {
            "made": made(self.records),
            "device": self.device,
            "backbones": self._backbones(),
            "datasets": [dataset(name, known.get(name)) for name in self.datasets],
            "tasks": [task(held[name]) for name in self.tasks],
            "columns": [self._column(column) for column in self.columns],
            "cells": grid(self.columns, self.names, self.held),
            "scopes": [
                self._scope(one) for one in (*self.board.rankings, *self.board.by_task.values())
            ],
            "covariance": self._covariances(),
            "has": {"curves": has_curves(self.records), "shifts": any(self._facet("shift"))},
            "notes": notes(self.records, self.board.aside, self.board.remarks),
        }

    def parts(self) -> dict[str, Any]:
        """What cards and curves need."""
        return parts(self.columns, self.names, self.held, self.board.robustness)

    @cached_property
    def device(self) -> str | None:
        """Where the speeds that may be compared were measured."""
        return next(iter(devices(self.records)), None)

    @cached_property
    def _place(self) -> Mapping[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def _backbones(self) -> list[dict[str, Any]]:
        facts, own = facts_by_backbone(self.records), by_name(self.records)
        return [
            backbone(name, own[name], facts[name], self.device) | {"seen": self._seen(facts[name])}
            for name in self.names
        ]

    def _seen(self, facts: BackboneFacts | None) -> list[int]:
        """The datasets whose images the backbone was pretrained on."""
        seen = facts.pretraining.seen if facts and facts.pretraining else ()
        return [self.datasets.index(name) for name in seen if name in self.datasets]

    def _column(self, column: Column) -> dict[str, Any]:
        """Its task and dataset, and what the paired tests say: who is tied with the best, and each one's p against it."""
        places = {
            "task": self.tasks.index(column.task),
            "dataset": self.datasets.index(column.dataset),
        }
        ties = self.board.ties.get(column)
        if not ties:
            return places
        p = {str(self._place[name]): float(f"{tie.p:.2g}") for name, tie in ties.items()}
        return places | {
            "tied": [self._place[name] for name, tie in ties.items() if tie.group == 1],
            "p": p,
        }

    def _scope(self, ranking: Ranking) -> dict[str, Any]:
        """A ranking by its columns, so that the page finds it for what it shows: [backbone, win share, first and last place, tie group] each."""
        standings = [
            [self._place[s.backbone], s.win_share, s.rank_low, s.rank_high, s.tie_group]
            for s in ranking.standings
        ]
        return {
            "columns": [self.columns.index(column) for column in ranking.settings],
            "basis": ranking.basis,
            "standings": standings,
        }

    def _covariances(self) -> dict[str, Any] | None:
        """By dataset: the cells by place, and their covariances row by row."""
        held = self.board.covariances
        if not held:
            return None
        return {
            "datasets": [
                self._covariance(held[name]) if name in held else None for name in self.datasets
            ]
        }

    def _covariance(self, one: Covariance) -> dict[str, Any]:
        places = [
            self.columns.index(column) * len(self.names) + self._place[name]
            for column, name in one.cells
        ]
        return {"cells": places, "values": float32s(one.values.ravel().tolist())}

    def _facet(self, name: str) -> Iterable[bool]:
        return (name in score.facets for record in self.records for score in record.scores)


def has_curves(records: Iterable[Record]) -> bool:
    """Whether some task has a metric at several values of a number: shots, k, severity."""
    parts = {
        (record.task.name, score.metric): (record.task.metrics, score.facets)
        for record in records
        for score in record.scores
        if score.facets
    }
    named = (
        (task, base_of(score, metrics), facets)
        for (task, score), (metrics, facets) in parts.items()
    )
    numbers = {
        (task, base, name, value)
        for task, base, facets in named
        for name, value in facets.items()
        if isinstance(value, int | float)
    }
    return len(numbers) > len({found[:3] for found in numbers})


def made(records: Iterable[Record]) -> dict[str, Any]:
    """When and with which versions the records were made: first and last day, versions of this package."""
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
