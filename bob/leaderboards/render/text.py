"""Values and notes as text; percent and rounding exist only here and in the page's scripts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from bob.io.text import short_number
from bob.leaderboards.abridge import short_text
from bob.leaderboards.board import Board
from bob.leaderboards.cells import BoardCell, BoardColumn, SetAside, is_baseline
from bob.leaderboards.dataset_units import condition_note
from bob.leaderboards.grids import dense_settings_note, grid_notes
from bob.leaderboards.metric_traits import metric_traits
from bob.leaderboards.ranking import Ranking
from bob.leaderboards.references import is_clear_of_majority
from bob.leaderboards.verdicts import Verdicts
from bob.metrics.score_ranges import base_metric
from bob.records.record import Record, Score
from bob.statistics.ties import ALPHA

MISSING = "–"
MAX_NAMES = 12
"""Names written out in one line of the notes."""
MAX_CAVEATS = 8
"""Caveats written out in the notes."""
MAX_MISSING = 3
"""Missing settings written out per backbone."""
STATUS_TEXT = {"not_applicable": "n/a"}
"""Text for a status whose name is not a word."""

TIED_MARK, UNTESTED_MARK = "≈", "?"
"""Marks of a value: statistically tied with the best of its column, and not tested against it. On
the best itself: another is tied with it, or was not tested against it."""

BASIS_TEXT = {
    "datasets": "The z-scores are relative to this pool; rank intervals and win shares come from "
    "resampled datasets, tie groups from paired t-tests over datasets.",
    "examples": "The z-scores are relative to this pool; there are too few datasets to resample, "
    "so intervals and tie groups cover only what other test images might change.",
    "none": "The z-scores are relative to this pool; there are too few datasets to resample and no "
    "per-example results, so no difference can be tested.",
}
"""What the uncertainty of a ranking is estimated from."""


def mark(verdicts: Verdicts | None, name: str) -> str:
    """Return the mark of a backbone's value in one column; empty for none.

    A best value without a mark is significantly better than all others of its pool. Where nothing
    was tested, only the best has a mark.
    """
    status = verdicts.status(name) if verdicts else None
    if verdicts and verdicts.basis == "none" and name != verdicts.best:
        return ""
    return {"tied": TIED_MARK, "untested": UNTESTED_MARK}.get(status or "", "")


VERDICT_TEXT = {
    "clear": "best",
    "alone": "best",
    "tied": "tied",
    "untested": "not tested",
    "worse": "worse",
}
"""Words of the CSV files for a backbone's status against the best."""


def verdict_words(verdicts: Verdicts | None, name: str) -> str | None:
    """Return `best`, `best, tied`, `tied`, `worse`, ...; None for a backbone outside the pool."""
    status = verdicts.status(name) if verdicts else None
    if verdicts is None or status is None:
        return None
    words = VERDICT_TEXT[status]
    return f"best, {words}" if name == verdicts.best and words != "best" else words


def share_text(share: float) -> str:
    """Return a share of resamples in percent; only an exact 0 or 1 looks like one."""
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 < share < 1 else f"{100 * share:.0f} %"


def marks_of(verdicts: Verdicts) -> set[str]:
    """Return the marks that a column contains."""
    return {mark(verdicts, name) for name in verdicts.order} - {""}


def p_text(p: float) -> str:
    """Return a p-value with three decimals; one below the significance level never looks equal."""
    if p < 0.001:
        return "< 0.001"
    text = f"{p:.3f}"
    return f"< {text}" if p < ALPHA <= float(text) else text


def unranked_sentence(ranking: Ranking, incomplete: Mapping[str, str] | None = None) -> str:
    """Return which backbones are not in the pool and why, and which settings are not averaged.

    `incomplete` are the backbones to name, by default all; empty if there is nothing to say.
    """
    incomplete = ranking.incomplete if incomplete is None else incomplete
    sentences = []
    if incomplete:
        sentences.append(f"Not ranked, because values are missing: {_reasons(incomplete)}.")
    by_reason: dict[str, list[str]] = defaultdict(list)
    for column, reason in ranking.excluded_settings.items():
        by_reason[reason.removesuffix(".")].append(str(column))
    for reason, columns in by_reason.items():
        sentences.append(f"Not averaged: {listed(columns)} ({reason}).")
    return " ".join(sentences)


def _reasons(incomplete: Mapping[str, str]) -> str:
    """Return the names with what each lacks, shortened where there is much."""
    texts = [f"{name} ({_few(missing.split('; '))})" for name, missing in incomplete.items()]
    return listed(texts, "; ")


def _few(missing: Sequence[str]) -> str:
    more = len(missing) - MAX_MISSING
    return "; ".join(missing if more <= 1 else [*missing[:MAX_MISSING], f"{more} more"])


def value_text(metric: str, value: float) -> str:
    """Return a fraction as percent with one decimal, without the sign.

    A metric without an upper bound (log-loss, in nats) has three decimals.
    """
    return f"{value:.3f}" if _is_unbounded(metric) else f"{100 * value:.1f}"


def _is_unbounded(metric: str) -> bool:
    """Whether a metric has no upper bound, or the one that the name of a part starts with."""
    return not metric_traits(base_metric(metric, ())).at_most_one


def cell_text(cell: BoardCell | None) -> str:
    """Return `85.4 [84.0–86.7]`, a status such as `failed`, or a dash if there is no cell."""
    if cell is None:
        return MISSING
    if cell.status == "dropped":  # its reason begins with `at 240 images (`
        return f"dropped {(cell.reason or '').partition(' (')[0]}".rstrip()
    if cell.value is None:
        return STATUS_TEXT.get(cell.status, cell.status)
    return f"{value_text(cell.metric, cell.value)}{interval_text(cell)}"


def interval_text(cell: BoardCell | Score) -> str:
    """Return ` [84.0–86.7]`; empty if there is no interval."""
    if cell.low is None or cell.high is None:
        return ""
    return f" [{value_text(cell.metric, cell.low)}–{value_text(cell.metric, cell.high)}]"


def score_text(score: Score) -> str:
    """Return `85.4 % [84.0–86.7]`, or a dash if there is no value."""
    if score.value is None:
        return MISSING
    return unit_text(score.metric, score.value) + interval_text(score)


def unit_text(metric: str, value: float) -> str:
    """Return `85.4 %`, without the sign for a metric without an upper bound."""
    return value_text(metric, value) + ("" if _is_unbounded(metric) else " %")


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

    Failures, undefined values, caveats of fits, unreadable images, test images that train holds
    too, limits, published tables, records set aside.
    """
    conditions = condition_note(cell.column.dataset for cell in board.cells)
    return [
        *board.notes,
        *([conditions] if conditions else []),
        *_below_majority(board.cells),
        *grid_notes(board.cells),
        *dense_settings_note(board.overall.settings, board.cells),
        *_missing_values(board.cells),
        *_caveats(board.cells),
        *_not_applicable(board.records),
        *unreadable_images(board.records),
        *_images_of_train(board.records),
        *_dataset_limits(board.records),
        *_published(board.records),
        *_set_aside(board.set_aside),
    ]


def _below_majority(cells: Sequence[BoardCell]) -> list[str]:
    """Return one line per setting, with the backbones that do not clear the majority class."""
    by_column: dict[BoardColumn, list[BoardCell]] = defaultdict(list)
    for cell in cells:
        if not is_clear_of_majority(cell) and not is_baseline(cell.record):
            by_column[cell.column].append(cell)
    lines = []
    for column, group in by_column.items():
        names = sorted(cell.record.backbone_name for cell in group)
        majority = unit_text(group[0].metric, group[0].majority or 0.0)
        intervals = "the interval reaches" if len(names) == 1 else "intervals reach"
        lines.append(
            f"{column}: {listed(names)}: {intervals} the majority class ({majority}), which needs "
            "no image."
        )
    return lines


def _missing_values(cells: Sequence[BoardCell]) -> list[str]:
    """Return one line per reason, with the backbones, tasks and datasets concerned."""
    by_reason: dict[tuple[str, str], list[BoardCell]] = defaultdict(list)
    for cell in cells:
        if cell.value is None and cell.status != "not_applicable":
            by_reason[cell.reason or "No reason given.", cell.status].append(cell)
    return [
        # the reason of a dropped one begins with `at 240 images (`
        f"{_cells_text(group)}: {status}{'' if status == 'dropped' else '.'} {reason}"
        for (reason, status), group in by_reason.items()
    ]


def caveats_of(record: Record) -> list[str]:
    """Return what a reader of the scores of a record must know, of all seeds."""
    of_seeds = [details.get("caveats") for details in record.details]
    texts = [str(text) for texts in of_seeds if isinstance(texts, list | tuple) for text in texts]
    return list(dict.fromkeys(texts))


def _caveats(cells: Sequence[BoardCell]) -> list[str]:
    """Return one line per caveat of a fit, with the backbones, tasks and datasets concerned.

    Those of most cells come first; of more than MAX_CAVEATS, the number of the others.
    """
    by_caveat: dict[str, list[BoardCell]] = defaultdict(list)
    for cell in cells:
        for caveat in caveats_of(cell.record):
            by_caveat[caveat].append(cell)
    groups = sorted(by_caveat.items(), key=lambda item: -len(item[1]))
    lines = [f"{_cells_text(group)}: {caveat}." for caveat, group in groups[:MAX_CAVEATS]]
    if (more := len(groups) - MAX_CAVEATS) > 0:
        lines.append(f"{more} more caveats of fits; `bob-bench show` has those of a record.")
    return lines


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
    return f"{listed(names)} on {listed(tasks)} × {listed(datasets)}{share}"


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """Return all names, or the first MAX_NAMES of many."""
    rest = len(names) - MAX_NAMES
    if rest <= 1:
        return separator.join(names)
    return f"{separator.join(names[:MAX_NAMES])} and {rest} more"


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


def unreadable_images(records: Sequence[Record]) -> list[str]:
    """Return the number of images that were left out of each dataset, where there were any."""
    lines: set[str] = set()
    for record in records:
        count = sum(map(len, record.dataset.bad_images.values())) if record.dataset else 0
        if count:
            noun = "image" if count == 1 else "images"
            lines.add(f"{record.dataset_name}: {count} unreadable {noun} excluded.")
    return sorted(lines)


def _images_of_train(records: Sequence[Record]) -> list[str]:
    """Return how many images of each test set are in train too, which raises scores, if any."""
    lines: set[str] = set()
    for record in records:
        report = record.dataset.report if record.dataset else None
        if report is None:
            continue
        for shared in report.shared:
            if shared.other == "train" and shared.split not in ("train", "val"):
                images = f"{shared.images:,} of {report.splits[shared.split].images:,} images"
                verb = "is" if shared.images == 1 else "are"
                lines.add(
                    f"{record.dataset_name}: {images} of {shared.split} {verb} byte-identical to "
                    "images of train."
                )
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
