"""Arguments of `bob-bench leaderboard`."""

import argparse
from pathlib import Path

from bob.cli.shared_flags import add_external_columns, add_registries_and_folders

HELP = "write the leaderboard from records"
DESCRIPTION = (
    "Write leaderboard.{csv,md,tex,html}, leaderboard_wide.csv, ranking.csv and "
    "ranking_by_task.csv from records, and robustness.csv if a task has distribution shifts."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "folders",
        metavar="DIR",
        type=Path,
        nargs="*",
        help="results folders to merge (default: --results); files are written to --results, or "
        "to DIR if there is only one",
    )
    parser.add_argument(
        "--external",
        metavar="TABLE.csv",
        type=Path,
        action="append",
        default=[],
        help="table of published numbers to include; repeatable",
    )
    add_external_columns(parser)
    parser.add_argument(
        "--figures", action="store_true", help="also write figures/*.svg and figures/*.png"
    )
    add_registries_and_folders(parser)
    parser.set_defaults(results=None)
