"""`bob-bench leaderboard`: from results folders and published tables to a board and its files. Loads no torch."""

import argparse
import contextlib
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path

from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK, ConfigError
from bob.leaderboard.gather import GatheredRecords, gather
from bob.leaderboard.render.terminal import to_terminal
from bob.leaderboard.write import write_board

RESULTS = Path("results")
"""The results folder where none is named; the command line's default."""


def run(arguments: argparse.Namespace) -> int:
    """Writes the leaderboard's files from the records that there are. Conflicting records make the exit code 1, as failed cells do."""
    terminal = Terminal()
    folders = arguments.folders or [arguments.results or RESULTS]
    with _uncollected():
        return _leaderboard(terminal, arguments, folders)


def _leaderboard(terminal: Terminal, arguments: argparse.Namespace, folders: Sequence[Path]) -> int:
    gathered = gather(folders, arguments.external)
    _tell(terminal, gathered)
    if not gathered.records:
        raise ConfigError(
            f"{', '.join(map(str, folders))}: holds no records; run `bob-bench run` first, or name the folder with --results."
        )
    board = gathered.board()
    place = arguments.results or (folders[0] if len(folders) == 1 else RESULTS)
    terminal.print_written(write_board(board, place))
    if arguments.figures:
        from bob.leaderboard.render.figures import write_figures

        terminal.print_written(write_figures(board, place / "figures"))
    terminal.render(to_terminal(board))
    return FAILED if gathered.conflicts else OK


def publish(terminal: Terminal, results: Path) -> GatheredRecords:
    """Writes the leaderboard of one results folder, and gives what it holds."""
    with _uncollected():
        gathered = gather([results])
        _tell(terminal, gathered)
        if gathered.records:
            terminal.print_written(write_board(gathered.board(), results))
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


def _tell(terminal: Terminal, gathered: GatheredRecords) -> None:
    for problem in gathered.damaged:
        terminal.note(problem)
    for conflict in gathered.conflicts:
        terminal.error(f"conflict: {conflict}; the cell shows no value.")
    for remark in gathered.remarks:
        terminal.note(remark)
