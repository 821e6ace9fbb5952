"""Merging of records from several results folders.

The same record with different values is a conflict, which is reported; its cell shows no value.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bob.records.record import Record

TOLERANCE = 1e-6
"""Largest absolute or relative difference at which two values of one score agree: machines may add
in another order."""

RecordIdentity = tuple[str, str, str, str]


def record_identity(record: Record) -> RecordIdentity:
    """Return what identifies a result: its key, which does not cover names, and its names."""
    return record.key, record.backbone_name, record.task.name, record.dataset_name


@dataclass(frozen=True)
class MergedRecords:
    """Records of several folders, one per identity."""

    records: tuple[Record, ...]
    source: Mapping[RecordIdentity, str]
    """Folder that each record was taken from."""
    conflicts: tuple[str, ...]
    """Messages that name the cell, the score and both values."""


def merge(sources: Mapping[str, Sequence[Record]]) -> MergedRecords:
    """Merge the records of several folders, given by folder name.

    Of several records with one identity, the first one wins, a success before a failure.
    """
    by_identity: dict[RecordIdentity, list[tuple[str, Record]]] = {}
    for folder, folder_records in sources.items():
        for record in folder_records:
            by_identity.setdefault(record_identity(record), []).append((folder, record))
    records: list[Record] = []
    source: dict[RecordIdentity, str] = {}
    conflicts: list[str] = []
    for identity, copies in by_identity.items():
        first, *others = [copy for copy in copies if copy[1].status == "ok"] or copies
        folder, record = first
        messages = [message for other in others if (message := _conflict(first, other))]
        records.append(_without_values(record, messages[0]) if messages else record)
        source[identity] = folder
        conflicts += messages
    return MergedRecords(tuple(records), source, tuple(conflicts))


def _conflict(first: tuple[str, Record], second: tuple[str, Record]) -> str | None:
    """Return a message about the first score in which two records differ; None if they agree."""
    (folder, record), (other_folder, other) = first, second
    values, other_values = _values(record), _values(other)
    for key in sorted({*values, *other_values}, key=str):
        value, other_value = values.get(key), other_values.get(key)
        if not _agree(value, other_value):
            metric, seed = key
            cell = f"{record.task.name} on {record.dataset_name}, {record.backbone_name}"
            score = metric if seed is None else f"{metric}, seed {seed},"
            return (
                f"{cell} (key {record.key[:16]}): {score} is {_text(value)} in {folder} "
                f"and {_text(other_value)} in {other_folder}"
            )
    return None


def _values(record: Record) -> dict[tuple[str, int | None], float | None]:
    return {(score.metric, score.seed): score.value for score in record.scores}


def _agree(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _text(value: float | None) -> str:
    return "missing" if value is None else repr(value)


def _without_values(record: Record, conflict: str) -> Record:
    changes = {"value": None, "low": None, "high": None, "undefined": f"conflict: {conflict}"}
    return record.model_copy(
        update={"scores": tuple(score.model_copy(update=changes) for score in record.scores)}
    )
