"""`bob-bench leaderboard`: the leaderboard's files, from results folders and published tables.

Does not import torch.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK, ConfigError
from bob.io.garbage import collector_paused
from bob.io.locks import folder_lock
from bob.leaderboards.board import Board
from bob.leaderboards.column_roles import NO_ROLES, ColumnRoles, parse_roles
from bob.leaderboards.gather import GatheredRecords, gather
from bob.leaderboards.render.terminal import to_terminal
from bob.leaderboards.write import write_board
from bob.records.store import RecordStore

DEFAULT_RESULTS = Path("results")
"""The results folder if neither `--results` nor DIR names one."""
LOCK_PATIENCE_SECONDS = 120.0
"""How long to wait for another process that writes the leaderboard; a large one takes 10 s."""
ATTEMPTS = 5
"""Number of times that the files are written while other processes add records, without a lock."""


def run(arguments: argparse.Namespace) -> int:
    """Write and print the leaderboard.

    Returns FAILED if records conflict. ConfigError if there are no records.
    """
    folders = arguments.folders or [arguments.results or DEFAULT_RESULTS]
    with collector_paused():
        return _write_and_print(Terminal(), arguments, folders)


def publish(terminal: Terminal, results: Path) -> GatheredRecords:
    """Write the leaderboard of one results folder, and return its records."""
    with collector_paused():
        gathered, _, written = _gather_and_write([results], [], results)
        _print_problems(terminal, gathered)
        if written:
            terminal.print_written(written)
        return gathered


def _write_and_print(
    terminal: Terminal, arguments: argparse.Namespace, folders: Sequence[Path]
) -> int:
    roles = parse_roles(arguments.external_column)
    target = arguments.results or (folders[0] if len(folders) == 1 else DEFAULT_RESULTS)
    gathered, board, written = _gather_and_write(folders, arguments.external, target, roles)
    _print_problems(terminal, gathered)
    if board is None:
        raise ConfigError(
            f"{', '.join(map(str, folders))}: holds no records; run `bob-bench run` first, "
            "or name the folder with --results."
        )
    terminal.print_written(written)
    if arguments.figures:
        from bob.leaderboards.render.figures import write_figures

        terminal.print_written(write_figures(board, target / "figures"))
    terminal.render(to_terminal(board))
    return FAILED if gathered.conflicts else OK


def _gather_and_write(
    folders: Sequence[Path],
    tables: Sequence[Path],
    target: Path,
    roles: ColumnRoles = NO_ROLES,
) -> tuple[GatheredRecords, Board | None, list[Path]]:
    """Read the records of all folders, and write their leaderboard into `target` unless empty.

    Of two processes that publish at once, one waits for the other, so that the files agree with
    each other and lack no record. Where the folder cannot be locked, the files are written again if
    records have changed meanwhile.
    """
    with folder_lock(target, LOCK_PATIENCE_SECONDS) as locked:
        for _ in range(ATTEMPTS):
            before = None if locked else _state(folders)
            gathered = gather(folders, tables, roles)
            if not gathered.records:
                return gathered, None, []
            board = gathered.board()
            written = write_board(board, target)
            if locked or _state(folders) == before:
                break
        return gathered, board, written


def _state(folders: Sequence[Path]) -> list[frozenset[tuple[Path, int, int]]]:
    return [RecordStore(folder).state() for folder in folders]


def _print_problems(terminal: Terminal, gathered: GatheredRecords) -> None:
    for problem in gathered.damaged:
        terminal.note(problem)
    for conflict in gathered.conflicts:
        terminal.error(f"conflict: {conflict}; the cell shows no value.")
    for note in gathered.notes:
        terminal.note(note)
