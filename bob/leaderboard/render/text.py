"""Values and findings as text. Rounding and % exist only here and in the page's script."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bob.leaderboard.cells import Cell, Column, SetAside, better_first, cells
from bob.metrics import METRICS
from bob.records.record import Record

MISSING = "–"
NAMED = 12
"""Names that are written out in one line of the notes."""
STATUS_TEXT = {"not_applicable": "n/a"}
"""How a status is shown whose name is no word."""


BASIS_TEXT = {
    "datasets": "The z-scores are over this pool; places and win shares come from resampled datasets, tie groups from paired t-tests over datasets.",
    "examples": "The z-scores are over this pool; too few datasets to resample, so intervals and tie groups say what other test images might change.",
    "none": "The z-scores are over this pool; too few datasets to resample and no per-example results at hand, so that nothing is told apart.",
}


def value_text(metric: str, value: float) -> str:
    """A fraction as percent with one decimal, without the sign; a metric without an upper bound (log-loss, in nats) with three decimals."""
    known = METRICS.get(metric)
    return f"{value:.3f}" if known and known.highest != 1 else f"{100 * value:.1f}"


def cell_text(cell: Cell | None) -> str:
    """`85.4 [84.0–86.7]`, `failed`, `undefined`, `n/a`, or a dash where there is no cell."""
    if cell is None:
        return MISSING
    if cell.value is None:
        return STATUS_TEXT.get(cell.status, cell.status)
    return f"{value_text(cell.metric, cell.value)}{limits_text(cell)}"


def limits_text(cell: Cell) -> str:
    if cell.low is None or cell.high is None:
        return ""
    return f" [{value_text(cell.metric, cell.low)}–{value_text(cell.metric, cell.high)}]"


def limits_words(metric: str, value: float, low: float | None, high: float | None) -> str:
    """A difference with its sign and limits: `+1.2 [-0.3, +2.7]`, in points or in the metric's own unit."""
    scale, digits = (1.0, 3) if metric in METRICS and METRICS[metric].highest != 1 else (100.0, 1)
    limits = (
        ""
        if low is None or high is None
        else f" [{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]"
    )
    return f"{scale * value:+.{digits}f}{limits}"


def millions(params: int | None) -> str:
    """Parameters in millions: 3.4, 0.001; a dash where unknown."""
    return MISSING if params is None else f"{params / 1e6:.3g}"


@dataclass(frozen=True)
class Lead:
    """The best backbone of one column, and the next."""

    column: Column
    best: Cell
    second: Cell | None
    overlap: bool
    """Whether the two intervals overlap. Overlap does not show that the two are equal; a paired test is sharper."""


def leads(records: Iterable[Record]) -> list[Lead]:
    """One per column that has a value, in column order; `records` are comparable ones."""
    groups: dict[Column, list[Cell]] = defaultdict(list)
    for cell in cells(records):
        if cell.value is not None:
            groups[cell.column].append(cell)
    return [
        _lead(column, sorted(group, key=better_first)) for column, group in sorted(groups.items())
    ]


def _lead(column: Column, group: Sequence[Cell]) -> Lead:
    second = group[1] if len(group) > 1 else None
    return Lead(column, group[0], second, second is not None and _overlap(group[0], second))


def _overlap(a: Cell, b: Cell) -> bool:
    """Whether two intervals share a point. Without limits nothing is told apart."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return True
    return a.low <= b.high and b.low <= a.high


def notes(
    records: Sequence[Record], aside: Sequence[SetAside], remarks: Sequence[str] = ()
) -> list[str]:
    """What a reader must know beside the values: failures, undefined values, bad images, limits, records set aside."""
    bad = sorted({text for record in records if (text := _bad_images(record))})
    limited = sorted(
        {
            f"{record.dataset_name}: at most {limit} images per split (--limit)."
            for record in records
            if (limit := _limit(record))
        }
    )
    return (
        [*remarks, *_without_value(records)]
        + _not_applicable(records)
        + bad
        + limited
        + _published(records)
        + [text for text in [set_aside_text(aside)] if text]
    )


def _without_value(records: Sequence[Record]) -> list[str]:
    """One line per reason, with the backbones, tasks and datasets that it struck."""
    struck: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells(records):
        if cell.value is None and cell.status != "not_applicable":
            struck[cell.reason or "No reason given.", cell.status].append(cell)
    return [f"{_where(held)}: {status}. {reason}" for (reason, status), held in struck.items()]


def _where(held: Sequence[Cell]) -> str:
    """`a on knn/elpv`, or `a, b on knn, linear × elpv`, with how many of these cells it is where it is not all."""
    names, tasks, datasets = (
        sorted(set(part))
        for part in zip(
            *((cell.record.backbone_name, cell.column.task, cell.column.dataset) for cell in held),
            strict=True,
        )
    )
    if len(held) == 1:
        return f"{names[0]} on {held[0].column}"
    all_of_them = len(names) * len(tasks) * len(datasets)
    some = "" if len(held) == all_of_them else f" ({len(held)} of these {all_of_them} cells)"
    return f"{_listed(names)} on {_listed(tasks)} × {_listed(datasets)}{some}"


def _listed(names: Sequence[str]) -> str:
    """The names, of many the first few."""
    rest = len(names) - NAMED
    return ", ".join(names) if rest <= 1 else f"{', '.join(names[:NAMED])} and {rest} more"


def _not_applicable(records: Sequence[Record]) -> list[str]:
    """One line per task and reason."""
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        if record.status == "not_applicable":
            names[record.task.name, record.reason or "no reason given"].add(record.backbone_name)
    return [
        f"{task} does not apply to {', '.join(sorted(held))}: {reason}"
        for (task, reason), held in sorted(names.items())
    ]


def _published(records: Sequence[Record]) -> list[str]:
    """Which tables are beside one's own numbers."""
    rows: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.external is not None:
            rows[record.external].add(record.backbone_name)
    return [
        f"{table}: {len(names)} rows of published numbers, marked external; not ranked among one's own."
        for table, names in sorted(rows.items())
    ]


def set_aside_text(aside: Sequence[SetAside]) -> str:
    """How many records were set aside and why; nothing where none was."""
    counts: dict[str, int] = defaultdict(int)
    for left in aside:
        counts[left.why] += 1
    noun = "record" if len(aside) == 1 else "records"
    return (
        f"{len(aside)} {noun} set aside: "
        + ", ".join(f"{count} ({why})" for why, count in sorted(counts.items()))
        + "."
        if aside
        else ""
    )


def _bad_images(record: Record) -> str:
    count = sum(map(len, record.dataset.bad_images.values())) if record.dataset else 0
    return (
        f"{record.dataset_name}: {count} unreadable image{'s' if count > 1 else ''} left out."
        if count
        else ""
    )


def _limit(record: Record) -> int | None:
    return record.dataset.limit if record.dataset else None
