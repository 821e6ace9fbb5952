"""leaderboard.csv: one row per score."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from bob.leaderboard.board import Board, as_board
from bob.records.record import BackboneFacts, Record, Score, created

TIDY = {
    "backbone": "object",
    "family": "object",
    "floor": "bool",
    "task": "object",
    "task_version": "Int64",
    "dataset": "object",
    "metric": "object",
    "seed": "Int64",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "n": "Int64",
    "interval": "object",
    "undefined": "object",
    "status": "object",
    "reason": "object",
    "primary": "bool",
    "external": "object",
    "pooling": "object",
    "weights_hash": "object",
    "input_px": "object",
    "crop_pct": "float64",
    "interpolation": "object",
    "preprocessing": "object",
    "mean": "object",
    "std": "object",
    "precision": "object",
    "width": "Int64",
    "params": "Int64",
    "gflops": "float64",
    "weights_mib": "float64",
    "peak_mib": "float64",
    "licence": "object",
    "chosen": "object",
    "train": "Int64",
    "val": "Int64",
    "test": "Int64",
    "bad_images": "Int64",
    "limit": "Int64",
    "split_kind": "object",
    "dataset_fingerprint": "object",
    "record_key": "object",
    "device": "object",
    "device_name": "object",
    "runtime": "object",
    "threads": "Int64",
    "batch_size": "Int64",
    "images_per_s": "float64",
    "decode_images_per_s": "float64",
    "probe_seconds": "float64",
    "created": "object",
}
"""The columns of leaderboard.csv in order, with their types. The last, from device on, depend on the machine and the day; nothing before them does.

primary: whether this metric ranks its task. mean, std: normalisation, JSON. chosen: what the protocol chose under that seed, JSON.
peak_mib: weights and the most that the tensors of a forward of 4 images hold at once.
train, val, test: images used. bad_images: images left out. external: the table that a published number was read from.
An empty value means that there is none: see undefined, status and reason.
After these come the facets of the scores, one column each: facet_k, facet_shots, facet_shift, ..., empty where a score is not of that kind.
"""

FACET = "facet_"
"""Prefix of the columns that tell a task's parts apart."""

OF_SCORE = (
    "metric",
    "seed",
    "value",
    "low",
    "high",
    "n",
    "interval",
    "undefined",
    "primary",
    "chosen",
)
"""Columns that differ between the rows of a record, besides the facets."""

OF_COST = (
    "device",
    "device_name",
    "runtime",
    "threads",
    "batch_size",
    "images_per_s",
    "decode_images_per_s",
    "probe_seconds",
)
MACHINE = (*OF_COST, "created")
"""Columns that differ between two runs of the same inputs."""


@dataclass(frozen=True)
class Tidy:
    """The rows of leaderboard.csv, what a record's rows share apart from what they do not."""

    shared: pd.DataFrame
    """One row per record."""
    own: pd.DataFrame
    """One row per score, facets included; one for a record without any."""
    counts: tuple[int, ...]
    """Rows of `own` per record."""
    columns: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        rows = self.shared.iloc[np.repeat(np.arange(len(self.counts)), self.counts)].reset_index(
            drop=True
        )
        return pd.concat([rows, self.own], axis=1)[list(self.columns)]

    def csv(self) -> str:
        """As `frame().to_csv`, in a third of the time."""
        return repeated_csv(self.shared, self.own, self.counts, self.columns)


def tidy(given: Board | Iterable[Record]) -> pd.DataFrame:
    """One row per backbone × task × dataset × metric × seed of the comparable records; a failed record gives one row. The order is the content's."""
    return tidy_parts(given).frame()


def tidy_parts(given: Board | Iterable[Record]) -> Tidy:
    kept = as_board(given).kept
    scores = [
        sorted(record.scores, key=_order_in(record)) if record.status == "ok" else []
        for record in kept
    ]
    names = [name for name in TIDY if name not in OF_SCORE]
    shared = pd.DataFrame([_shared(record) for record in kept], columns=names).astype(
        {name: TIDY[name] for name in names}
    )
    facets = _facets(score for several in scores for score in several)
    own = _own(kept, scores, list(facets))
    counts = tuple(max(1, len(several)) for several in scores)
    return Tidy(
        shared,
        own.astype({name: TIDY[name] for name in OF_SCORE} | facets),
        counts,
        (*TIDY, *facets),
    )


def _own(
    records: Sequence[Record], scores: Sequence[Sequence[Score]], facets: Sequence[str]
) -> pd.DataFrame:
    """What the rows of scores say, column by column; of a record without any, which metric was wanted."""
    held: list[tuple[Record, Score | None]] = []
    for record, several in zip(records, scores, strict=True):
        held += [(record, score) for score in several] or [(record, None)]
    columns = {name: [getattr(score, name, None) for _, score in held] for name in OF_SCORE[:-2]}
    wanted = [record.task.metrics[0] for record, _ in held]
    columns["metric"] = [
        metric or first for metric, first in zip(columns["metric"], wanted, strict=True)
    ]
    columns["primary"] = [
        metric == first for metric, first in zip(columns["metric"], wanted, strict=True)
    ]
    columns["chosen"] = [
        text
        for record, several in zip(records, scores, strict=True)
        for text in _chosen(record, several)
    ]
    facet = {
        name: [score.facets.get(name.removeprefix(FACET)) if score else None for _, score in held]
        for name in facets
    }
    return pd.DataFrame(columns | facet, columns=[*OF_SCORE, *facets])


def _facets(scores: Iterable[Score]) -> dict[str, str]:
    """The columns of the scores' facets, with their types: whole numbers stay whole beside gaps; a facet of mixed kinds is text."""
    kinds: dict[str, set[type]] = defaultdict(set)
    for score in scores:
        for name, value in score.facets.items():
            kinds[FACET + name].add(type(value))
    return {
        name: "Int64" if held == {int} else "float64" if held <= {int, float} else "object"
        for name, held in sorted(kinds.items())
    }


def _shared(record: Record) -> dict[str, Any]:
    """What all rows of a record say."""
    return (
        _record_columns(record)
        | _backbone_columns(record.backbone)
        | _dataset_columns(record)
        | _cost_columns(record)
    )


def _order_in(record: Record) -> Callable[[Score], tuple[int, int, str, int]]:
    return lambda score: _metric_order(record, score)


def _metric_order(record: Record, score: Score) -> tuple[int, int, str, int]:
    """The task's order of metrics; `top1_k5` and `top1_k20` follow `top1`, shorter names first; then the seed."""
    names = record.task.metrics
    bases = [name for name in names if score.metric == name or score.metric.startswith(name + "_")]
    return (
        names.index(max(bases, key=len)) if bases else len(names),
        len(score.metric),
        score.metric,
        -1 if score.seed is None else score.seed,
    )


def _record_columns(record: Record) -> dict[str, Any]:
    return {
        "backbone": record.backbone_name,
        "family": record.family,
        "floor": record.family == "baseline",
        "task": record.task.name,
        "task_version": record.task.version,
        "dataset": record.dataset_name,
        "status": record.status,
        "reason": record.reason,
        "record_key": record.key,
        "external": record.external,
    }


def _chosen(record: Record, scores: Sequence[Score]) -> list[str | None]:
    """The protocol's details under each score's seed, as JSON."""
    texts = [to_json(detail) for detail in record.details]
    places = [
        record.seeds.index(score.seed) if score.seed in record.seeds else 0 for score in scores
    ]
    return [texts[place] if place < len(texts) else None for place in places] or [None]


def _backbone_columns(facts: BackboneFacts | None) -> dict[str, Any]:
    if facts is None:
        return {}
    names = (
        "pooling",
        "weights_hash",
        "precision",
        "width",
        "params",
        "gflops",
        "weights_mib",
        "peak_mib",
        "licence",
    )
    geometry = {name: facts.geometry.get(name) for name in ("crop_pct", "interpolation")}
    normalisation = {name: to_json(facts.normalisation.get(name)) for name in ("mean", "std")}
    geometry["preprocessing"] = facts.geometry.get("preprocessing", "exact")
    return (
        {name: getattr(facts, name) for name in names}
        | geometry
        | normalisation
        | {"input_px": _text(facts.geometry.get("input_px"))}
    )


def _dataset_columns(record: Record) -> dict[str, Any]:
    facts = record.dataset
    if facts is None:
        return {}
    return {
        **{split: facts.counts.get(split) for split in ("train", "val", "test")},
        "bad_images": sum(map(len, facts.bad_images.values())),
        "limit": facts.limit,
        "split_kind": _text(facts.split_origin.get("kind")),
        "dataset_fingerprint": facts.fingerprint,
    }


def _cost_columns(record: Record) -> dict[str, Any]:
    cost = record.cost
    measured = {name: getattr(cost, name) for name in OF_COST} if cost else {}
    return measured | {"created": created(record)}


def to_json(value: Any) -> str | None:
    return (
        None
        if value is None
        else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    )


def _text(value: Any) -> str | None:
    """A value that may be a number, text or a list, as text: input_px is 224 or [224, 320]."""
    return value if isinstance(value, str) else to_json(value)


END = "\x1e\n"
"""Ends a line of a part, so that a line break inside a field does not: an ASCII record separator first."""


def repeated_csv(
    shared: pd.DataFrame, own: pd.DataFrame, counts: Sequence[int], columns: Sequence[str]
) -> str:
    """What `to_csv(index=False, lineterminator="\\n")` gives of own (S rows) beside shared (R rows, each repeated counts (R,) times)."""
    row = np.repeat(np.arange(len(shared)), counts).tolist()
    blocks = [
        (once, list(names)) for once, names in groupby(columns, lambda name: name in shared.columns)
    ]
    texts = [
        _repeated(_lines(shared[names]), row) if once else _lines(own[names])
        for once, names in blocks
    ]
    head = pd.DataFrame(columns=list(columns)).to_csv(index=False, lineterminator="\n")
    return head + "".join([",".join(parts) + "\n" for parts in zip(*texts, strict=True)])


def _repeated(lines: Sequence[str], row: Iterable[int]) -> list[str]:
    return [lines[place] for place in row]


def _lines(frame: pd.DataFrame) -> list[str]:
    """One text per row. A column of zeros goes before the others and is cut off again, since a line of one empty field would be quoted."""
    marked = pd.concat([pd.Series(0, index=frame.index, name="", dtype="int64"), frame], axis=1)
    lines = marked.to_csv(index=False, header=False, lineterminator=END).split(END)[:-1]
    if len(lines) != len(frame):  # some field holds END
        lines = [
            marked[row : row + 1]
            .to_csv(index=False, header=False, lineterminator=END)
            .removesuffix(END)
            for row in range(len(frame))
        ]
    return [line[2:] for line in lines]
