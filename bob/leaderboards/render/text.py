"""Values and notes as text; percent and rounding exist only here and in the page's scripts."""

from collections import defaultdict
from collections.abc import Sequence

from bob.leaderboards.abridge import short_text
from bob.leaderboards.board import Board
from bob.leaderboards.cells import BoardCell, SetAside
from bob.leaderboards.costs import short_number
from bob.metrics import METRICS
from bob.records.record import Record

MISSING = "–"
MAX_NAMES = 12
"""Names written out in one line of the notes."""
STATUS_TEXT = {"not_applicable": "n/a"}
"""Text for a status whose name is not a word."""

BASIS_TEXT = {
    "datasets": "The z-scores are relative to this pool; rank intervals and win shares come from "
    "resampled datasets, tie groups from paired t-tests over datasets.",
    "examples": "The z-scores are relative to this pool; there are too few datasets to resample, "
    "so intervals and tie groups cover only what other test images might change.",
    "none": "The z-scores are relative to this pool; there are too few datasets to resample and no "
    "per-example results, so no difference can be tested and all backbones count as tied.",
}
"""What the uncertainty of a ranking is estimated from."""


def value_text(metric: str, value: float) -> str:
    """Return a fraction as percent with one decimal, without the sign.

    A metric without an upper bound (log-loss, in nats) has three decimals.
    """
    return f"{value:.3f}" if _is_unbounded(metric) else f"{100 * value:.1f}"


def _is_unbounded(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].highest != 1


def cell_text(cell: BoardCell | None) -> str:
    """Return `85.4 [84.0–86.7]`, a status such as `failed`, or a dash if there is no cell."""
    if cell is None:
        return MISSING
    if cell.value is None:
        return STATUS_TEXT.get(cell.status, cell.status)
    return f"{value_text(cell.metric, cell.value)}{interval_text(cell)}"


def interval_text(cell: BoardCell) -> str:
    """Return ` [84.0–86.7]`; empty if the cell has no interval."""
    if cell.low is None or cell.high is None:
        return ""
    return f" [{value_text(cell.metric, cell.low)}–{value_text(cell.metric, cell.high)}]"


def difference_text(metric: str, value: float, low: float | None, high: float | None) -> str:
    """Return a difference and its interval, such as `+1.2 [-0.3, +2.7]`.

    The unit is percentage points, or the metric's own if it has no upper bound.
    """
    scale, digits = (1.0, 3) if _is_unbounded(metric) else (100.0, 1)
    text = f"{scale * value:+.{digits}f}"
    if low is None or high is None:
        return text
    return f"{text} [{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]"


def params_text(params: int | None) -> str:
    """Return a number of parameters in millions, such as `3.37`; a dash if unknown."""
    return MISSING if params is None else short_number(params / 1e6)


def board_notes(board: Board) -> list[str]:
    """Return what a reader must know beside the values.

    Failures, undefined values, unreadable images, limits, published tables, records set aside.
    """
    return [
        *board.notes,
        *_missing_values(board.cells),
        *_not_applicable(board.records),
        *_unreadable_images(board.records),
        *_dataset_limits(board.records),
        *_published(board.records),
        *_set_aside(board.set_aside),
    ]


def _missing_values(cells: Sequence[BoardCell]) -> list[str]:
    """Return one line per reason, with the backbones, tasks and datasets concerned."""
    by_reason: dict[tuple[str, str], list[BoardCell]] = defaultdict(list)
    for cell in cells:
        if cell.value is None and cell.status != "not_applicable":
            by_reason[cell.reason or "No reason given.", cell.status].append(cell)
    return [
        f"{_cells_text(group)}: {status}. {reason}" for (reason, status), group in by_reason.items()
    ]


def _cells_text(cells: Sequence[BoardCell]) -> str:
    """Return `a on knn/elpv`, or `a, b on knn, linear × elpv`.

    The latter says how many of these cells are concerned, if not all.
    """
    names = sorted({cell.record.backbone_name for cell in cells})
    tasks = sorted({cell.column.task for cell in cells})
    datasets = sorted({cell.column.dataset for cell in cells})
    if len(cells) == 1:
        return f"{names[0]} on {cells[0].column}"
    product = len(names) * len(tasks) * len(datasets)
    share = "" if len(cells) == product else f" ({len(cells)} of these {product} cells)"
    return f"{_listed(names)} on {_listed(tasks)} × {_listed(datasets)}{share}"


def _listed(names: Sequence[str]) -> str:
    """Return all names, or the first MAX_NAMES of many."""
    rest = len(names) - MAX_NAMES
    return ", ".join(names) if rest <= 1 else f"{', '.join(names[:MAX_NAMES])} and {rest} more"


def _not_applicable(records: Sequence[Record]) -> list[str]:
    """Return one line per task and reason."""
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        if record.status == "not_applicable":
            reason = short_text(record.reason or "no reason given")
            names[record.task.name, reason].add(record.backbone_name)
    return [
        f"{task} does not apply to {', '.join(sorted(backbones))}: {reason}"
        for (task, reason), backbones in sorted(names.items())
    ]


def _unreadable_images(records: Sequence[Record]) -> list[str]:
    lines: set[str] = set()
    for record in records:
        count = sum(map(len, record.dataset.bad_images.values())) if record.dataset else 0
        if count:
            noun = "image" if count == 1 else "images"
            lines.add(f"{record.dataset_name}: {count} unreadable {noun} excluded.")
    return sorted(lines)


def _dataset_limits(records: Sequence[Record]) -> list[str]:
    return sorted(
        {
            f"{record.dataset_name}: at most {record.dataset.limit} images per split (--limit)."
            for record in records
            if record.dataset and record.dataset.limit
        }
    )


def _published(records: Sequence[Record]) -> list[str]:
    """Return one line per published table."""
    names: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.external is not None:
            names[record.external].add(record.backbone_name)
    lines = []
    for table, backbones in sorted(names.items()):
        noun = "backbone" if len(backbones) == 1 else "backbones"
        lines.append(
            f"{table}: published results of {len(backbones)} {noun}, marked external and ranked "
            "separately."
        )
    return lines


def _set_aside(set_aside: Sequence[SetAside]) -> list[str]:
    """Return one line: how many records were set aside, and why."""
    if not set_aside:
        return []
    counts: dict[str, int] = defaultdict(int)
    for aside in set_aside:
        counts[aside.reason] += 1
    noun = "record" if len(set_aside) == 1 else "records"
    reasons = ", ".join(f"{count} ({reason})" for reason, count in sorted(counts.items()))
    return [f"{len(set_aside)} {noun} set aside: {reasons}."]
