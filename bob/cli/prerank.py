"""Arguments of `bob-bench prerank`."""

import argparse
from pathlib import Path

from bob.cli.shared_flags import (
    add_external_columns,
    add_json,
    add_record_selection,
    add_registries_and_folders,
)

HELP = "predict in which order to download backbones"
DESCRIPTION = (
    "Predict the order of backbones that have no record, from published tables and the records of "
    "at least 3 backbones on one task and dataset, and show how wrong such predictions are on the "
    "datasets of these tables. Nothing is decided by it, and no leaderboard contains it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--external",
        metavar="TABLE.csv",
        type=Path,
        action="append",
        required=True,
        help="table of published numbers; repeatable",
    )
    add_external_columns(parser)
    parser.add_argument(
        "--match",
        metavar="PUBLISHED=BACKBONE",
        action="append",
        default=[],
        help="registered name of a backbone of these tables, where the names differ; repeatable",
    )
    parser.add_argument("--to", metavar="FILE", type=Path, help="CSV file to write, in this order")
    add_json(parser, "the prediction")
    add_record_selection(parser)
    add_registries_and_folders(parser)
