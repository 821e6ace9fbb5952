"""Writing of the leaderboard's files; no other module of the leaderboard writes, except figures."""

import gzip
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from bob.io.files import atomic_writer
from bob.leaderboards.board import Board, make_board
from bob.leaderboards.page.beside import DETAIL_FILE
from bob.leaderboards.page.html import PAGE_FILE, page_files
from bob.leaderboards.per_example import PerExample, no_per_example
from bob.leaderboards.render.csv_text import csv_text
from bob.leaderboards.render.latex import to_latex
from bob.leaderboards.render.markdown import to_markdown
from bob.leaderboards.render.ranking_table import ranking_frame, task_frame
from bob.leaderboards.render.robustness_table import robustness_frame
from bob.leaderboards.render.tidy_table import tidy_csv
from bob.leaderboards.render.wide_table import wide
from bob.records.image_pages import image_pages
from bob.records.record import Record

PLAIN_BYTES = 64 * 2**20
"""Largest size of a CSV file that is not compressed."""


def write_leaderboard(
    records: Sequence[Record], folder: Path, per_example: PerExample = no_per_example
) -> list[Path]:
    """Write the leaderboard's files of these records into `folder`; see `write_board`."""
    return write_board(make_board(records, per_example), folder)


def write_board(board: Board, folder: Path) -> list[Path]:
    """Write the leaderboard's files into `folder`, each atomically, and return their paths.

    The page comes first. They are leaderboard.{html,csv,md,tex} and leaderboard_wide.csv;
    leaderboard_detail.js if the page is large; ranking.csv and ranking_by_task.csv if some backbone
    is ranked; robustness.csv if some task has shifts. One of an earlier call that would be empty
    now is removed. UTF-8 with LF line ends; a float in a CSV file is the shortest text that reads
    back as the same float. A CSV file of more than PLAIN_BYTES is compressed and ends in .csv.gz,
    which pandas reads as it is.
    """
    page = page_files(board, image_pages(folder))
    needed_first = sorted(page.items(), key=lambda file: not file[1])
    paths = {name: _write(folder / name, [text]) for name, text in needed_first}
    texts: dict[str, Callable[[], Iterable[str]]] = {
        "leaderboard.csv": lambda: tidy_csv(board),
        "leaderboard_wide.csv": lambda: [csv_text(wide(board))],
        "ranking.csv": lambda: [_rows_text(ranking_frame(board.rankings))],
        "ranking_by_task.csv": lambda: [_rows_text(task_frame(board.task_rankings))],
        "leaderboard.md": lambda: [to_markdown(board)],
        "leaderboard.tex": lambda: [to_latex(board)],
        "robustness.csv": lambda: [_rows_text(robustness_frame(board.robustness))],
    }
    tables = [_write(folder / name, text()) for name, text in texts.items()]
    return [path for path in (paths[PAGE_FILE], paths[DETAIL_FILE], *tables) if path]


def _write(path: Path, parts: Iterable[str]) -> Path | None:
    """Write a file, compressed if it is a large table, and remove what an earlier call wrote.

    The parts of its text are made one by one, as they are written. Returns its path; None where
    there is no text.
    """
    packed = path.with_name(f"{path.name}.gz")
    data = (part.encode("utf-8") for part in parts)
    first = list(_up_to(PLAIN_BYTES + 1, data))
    size = sum(map(len, first))
    is_large = path.suffix == ".csv" and size > PLAIN_BYTES
    target = packed if is_large else path
    if size:
        with atomic_writer(target) as file:
            if is_large:
                # neither name nor time in the header: equal tables are equal files
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as table:
                    for part in itertools.chain(first, data):
                        table.write(part)
            else:
                file.writelines(itertools.chain(first, data))
    for other in (path, packed):
        if not size or other != target:
            other.unlink(missing_ok=True)
    return target if size else None


def _up_to(size: int, data: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the first parts that hold at least `size` bytes together."""
    while size > 0 and (part := next(data, None)) is not None:
        size -= len(part)
        yield part


def _rows_text(frame: pd.DataFrame) -> str:
    """Return the text of a CSV file, or "" for a table without rows."""
    return csv_text(frame) if len(frame) else ""
