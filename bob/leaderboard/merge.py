"""Records of several machines or people into one set. The same key with other values is a conflict: it is told, and the cell shows no value."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bob.records.record import Record

CLOSE = 1e-6
"""Two values of one score that differ by less, absolutely or relatively, agree: machines may sum in another order."""

Identity = tuple[str, str, str, str]


def identity(record: Record) -> Identity:
    """What makes two records the same result: the key does not hold the names."""
    return record.key, record.backbone_name, record.task.name, record.dataset_name


@dataclass(frozen=True)
class Merged:
    """One record per identity."""

    records: tuple[Record, ...]
    source: Mapping[Identity, str]
    """Which folder each record was taken from: the first that has it whole."""
    conflicts: tuple[str, ...]
    """In words: which cell, which score, who says what."""


def merge(sources: Mapping[str, Sequence[Record]]) -> Merged:
    """Records by folder name, in the order of folders. A success counts before a failure of the same key, else the first folder's record."""
    held: dict[Identity, list[tuple[str, Record]]] = {}
    for name, records in sources.items():
        for record in records:
            held.setdefault(identity(record), []).append((name, record))
    records, source, conflicts = [], {}, []
    for same, found in held.items():
        good = [(name, record) for name, record in found if record.status == "ok"] or found
        texts = [text for name, record in good[1:] if (text := _conflict(good[0], (name, record)))]
        records.append(_without_values(good[0][1], texts[0]) if texts else good[0][1])
        source[same] = good[0][0]
        conflicts += texts
    return Merged(tuple(records), source, tuple(conflicts))


def _conflict(first: tuple[str, Record], second: tuple[str, Record]) -> str | None:
    """The first score in which two records of one identity differ, in words; None where they agree."""
    (name, record), (other_name, other) = first, second
    values, others = _values(record), _values(other)
    for what in sorted({*values, *others}, key=str):
        if not _agree(values.get(what), others.get(what)):
            metric, seed = what
            where = f"{record.task.name} on {record.dataset_name}, {record.backbone_name} (key {record.key[:16]})"
            score = metric if seed is None else f"{metric}, seed {seed},"
            return f"{where}: {score} is {_text(values.get(what))} in {name} and {_text(others.get(what))} in {other_name}"
    return None


def _values(record: Record) -> dict[tuple[str, int | None], float | None]:
    return {(score.metric, score.seed): score.value for score in record.scores}


def _agree(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)


def _text(value: float | None) -> str:
    return "missing" if value is None else repr(value)


def _without_values(record: Record, conflict: str) -> Record:
    changes = {"value": None, "low": None, "high": None, "undefined": f"conflict: {conflict}"}
    return record.model_copy(
        update={"scores": tuple(score.model_copy(update=changes) for score in record.scores)}
    )
