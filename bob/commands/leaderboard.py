"""`bob-bench leaderboard`: from results folders and published tables to a board and its files. Loads no torch."""

import argparse
import contextlib
import gc
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK, ConfigError
from bob.leaderboard.board import Board, make_board
from bob.leaderboard.merge import identity, merge
from bob.leaderboard.per_example import outcomes, per_example
from bob.leaderboard.published import beside, published
from bob.leaderboard.render.terminal import to_terminal
from bob.leaderboard.write import write_board
from bob.records.record import Record
from bob.records.store import Arrays, RecordBook
from bob.statistics.aggregate import Floats

RESULTS = Path("results")
"""The results folder where none is named; the command line's default."""


@dataclass(frozen=True)
class Gathered:
    """What folders and tables hold."""

    records: tuple[Record, ...]
    arrays: Callable[[Record], Arrays]
    """Reads a record's headline arrays where they lie; none for published numbers."""
    remarks: tuple[str, ...]
    conflicts: tuple[str, ...]
    damaged: tuple[str, ...]

    def evidence(self, record: Record) -> Floats | None:
        """What each example gave; see `bob.leaderboard.per_example.Evidence`."""
        return per_example(record, self.arrays(record))

    def outcomes(self, record: Record) -> list[Any]:
        """The headline outcome per seed."""
        return outcomes(record, self.arrays(record))

    def among(self, keys: Collection[str]) -> "Gathered":
        """The records of these keys alone."""
        return replace(self, records=tuple(record for record in self.records if record.key in keys))

    def board(self) -> Board:
        told = (*(f"conflict: {text}." for text in self.conflicts), *self.remarks)
        return make_board(self.records, self.evidence, told)


def leaderboard(arguments: argparse.Namespace) -> int:
    """Writes the leaderboard's files from the records that there are. Conflicting records make the exit code 1, as failed cells do."""
    terminal = Terminal()
    folders = arguments.folders or [arguments.results or RESULTS]
    with _uncollected():
        return _leaderboard(terminal, arguments, folders)


def _leaderboard(terminal: Terminal, arguments: argparse.Namespace, folders: Sequence[Path]) -> int:
    gathered = gather(folders, arguments.external)
    _tell(terminal, gathered)
    if not gathered.records:
        raise ConfigError(f"{', '.join(map(str, folders))}: holds no records; run `bob-bench run` first, or name the folder with --results.")
    board = gathered.board()
    place = arguments.results or (folders[0] if len(folders) == 1 else RESULTS)
    terminal.written(write_board(board, place))
    if arguments.figures:
        from bob.leaderboard.render.figures import write_figures

        terminal.written(write_figures(board, place / "figures"))
    terminal.show(to_terminal(board))
    return FAILED if gathered.conflicts else OK


def publish(terminal: Terminal, results: Path) -> Gathered:
    """Writes the leaderboard of one results folder, and gives what it holds."""
    with _uncollected():
        gathered = gather([results])
        _tell(terminal, gathered)
        if gathered.records:
            terminal.written(write_board(gathered.board(), results))
        return gathered


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's cycle collector: records hold no cycles, and walking thousands of them again and again costs a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def gather(folders: Sequence[Path], tables: Sequence[Path] = ()) -> Gathered:
    """Records of all folders, one of each, and the rows of published tables beside them."""
    books = {str(folder): RecordBook(folder) for folder in folders}
    read = {name: book.read_all() for name, book in books.items()}
    if len(folders) > 1 and (empty := [name for name, (records, damaged) in read.items() if not records and not damaged]):
        raise ConfigError(f"{empty[0]}: holds no records; a results folder has them in its folder `records`.")
    merged = merge({name: records for name, (records, _) in read.items()})
    others, remarks = _tables(merged.records, tables)

    def arrays(record: Record) -> Arrays:
        return {} if record.external else books[merged.source[identity(record)]].headline(record)

    damaged = tuple(problem for _, problems in read.values() for problem in problems)
    return Gathered((*merged.records, *others), arrays, tuple(remarks), merged.conflicts, damaged)


def _tables(own: Sequence[Record], tables: Sequence[Path]) -> tuple[list[Record], list[str]]:
    """The rows of published tables, and what to know about them."""
    others: list[Record] = []
    remarks: list[str] = []
    for path in tables:
        if path.name in {record.external for record in others}:
            raise ConfigError(f"--external {str(path)!r}: another table is named {path.name!r}; rename one.")
        records, told = published(_text(path), path.name)
        others += beside([*own, *others], records)
        remarks += told
    return others, remarks


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--external {str(path)!r}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"--external {str(path)!r}: is not UTF-8 text (byte {error.start}).") from error


def _tell(terminal: Terminal, gathered: Gathered) -> None:
    for problem in gathered.damaged:
        terminal.warn(problem)
    for conflict in gathered.conflicts:
        terminal.complain(f"conflict: {conflict}; the cell shows no value.")
    for remark in gathered.remarks:
        terminal.warn(remark)
