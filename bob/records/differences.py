"""What differs between two records of one cell: scores, inputs and environment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bob.records.record import Record, Score

_INPUTS = {
    "backbone": ("weights_hash", "output", "precision", "width", "geometry", "normalisation"),
    "task": ("version", "protocol", "settings", "metrics"),
    "dataset": ("fingerprint", "counts", "limit", "normal", "alpha"),
}
"""Facts that scores depend on."""
_ENVIRONMENT = ("bob", "git", "python", "system")
_COST = ("device", "device_name", "runtime", "threads", "batch_size")


@dataclass(frozen=True)
class ScorePair:
    """One score of two records; None where a record lacks it or its value is undefined."""

    metric: str
    facets: Mapping[str, Any]
    seed: int | None
    recorded: float | None
    new: float | None

    @property
    def is_identical(self) -> bool:
        return self.recorded == self.new


@dataclass(frozen=True)
class Difference:
    """A fact that two records state differently."""

    name: str
    recorded: Any
    new: Any


def score_pairs(recorded: Record, new: Record) -> list[ScorePair]:
    """Return every score of either record, in the order of the first."""
    before, after = ({_identity(s): s for s in record.scores} for record in (recorded, new))
    return [
        ScorePair(score.metric, score.facets, score.seed, _value(before, of), _value(after, of))
        for of, score in (before | after).items()
    ]


def input_differences(recorded: Record, new: Record) -> list[Difference]:
    """Return the facts about backbone, task and dataset on which scores depend that differ."""
    found = []
    for part, names in _INPUTS.items():
        before, after = (_fields(getattr(record, part)) for record in (recorded, new))
        found += list(_differing(part, names, before, after))
    return [*found, *_differing("", ("seeds",), _fields(recorded), _fields(new))]


def environment_differences(recorded: Record, new: Record) -> list[Difference]:
    """Return the versions, the device and the runtime that differ."""
    before, after = recorded.provenance, new.provenance
    libraries = [record.provenance.get("libraries", {}) for record in (recorded, new)]
    costs = [_fields(record.cost) for record in (recorded, new)]
    return [
        *_differing("", _ENVIRONMENT, before, after),
        *_differing("", sorted({*libraries[0], *libraries[1]}), *libraries),
        *_differing("", _COST, *costs),
    ]


def _identity(score: Score) -> tuple[str, tuple[tuple[str, str], ...], int | None]:
    facets = tuple(sorted((name, str(value)) for name, value in score.facets.items()))
    return score.metric, facets, score.seed


def _value(scores: Mapping[Any, Score], identity: Any) -> float | None:
    return scores[identity].value if identity in scores else None


def _fields(facts: Any) -> Mapping[str, Any]:
    """Return the facts of a record as plain values; empty for None."""
    return {} if facts is None else facts.model_dump(mode="json")


def _differing(
    part: str, names: Any, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Difference]:
    for name in names:
        if before.get(name) != after.get(name):
            title = f"{part} {name}".strip()
            yield Difference(title, before.get(name), after.get(name))
