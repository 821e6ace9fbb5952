"""`bob-bench leaderboard`: the leaderboard's files, from results folders and published tables.

Does not import torch.
"""

import argparse
import contextlib
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path

from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK, ConfigError
from bob.leaderboards.gather import GatheredRecords, gather
from bob.leaderboards.render.terminal import to_terminal
from bob.leaderboards.write import write_board

DEFAULT_RESULTS = Path("results")
"""The results folder if neither `--results` nor DIR names one."""


def run(arguments: argparse.Namespace) -> int:
    """Write and print the leaderboard.

    Returns FAILED if records conflict. ConfigError if there are no records.
    """
    folders = arguments.folders or [arguments.results or DEFAULT_RESULTS]
    with _without_garbage_collection():
        return _write_and_print(Terminal(), arguments, folders)


def publish(terminal: Terminal, results: Path) -> GatheredRecords:
    """Write the leaderboard of one results folder, and return its records."""
    with _without_garbage_collection():
        gathered = gather([results])
        _print_problems(terminal, gathered)
        if gathered.records:
            terminal.print_written(write_board(gathered.board(), results))
        return gathered


def _write_and_print(
    terminal: Terminal, arguments: argparse.Namespace, folders: Sequence[Path]
) -> int:
    gathered = gather(folders, arguments.external)
    _print_problems(terminal, gathered)
    if not gathered.records:
        raise ConfigError(
            f"{', '.join(map(str, folders))}: holds no records; run `bob-bench run` first, "
            "or name the folder with --results."
        )
    board = gathered.board()
    target = arguments.results or (folders[0] if len(folders) == 1 else DEFAULT_RESULTS)
    terminal.print_written(write_board(board, target))
    if arguments.figures:
        from bob.leaderboards.render.figures import write_figures

        terminal.print_written(write_figures(board, target / "figures"))
    terminal.render(to_terminal(board))
    return FAILED if gathered.conflicts else OK


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Disable Python's cycle collector.

    Records hold no reference cycles, and traversing thousands of them takes a third of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _print_problems(terminal: Terminal, gathered: GatheredRecords) -> None:
    for problem in gathered.damaged:
        terminal.note(problem)
    for conflict in gathered.conflicts:
        terminal.error(f"conflict: {conflict}; the cell shows no value.")
    for note in gathered.notes:
        terminal.note(note)
