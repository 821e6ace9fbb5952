"""Arguments of `bob-bench show`."""

import argparse

from bob.cli.shared_flags import add_registries_and_folders

HELP = "show a record, or the images behind its scores"
DESCRIPTION = (
    "Print a record as JSON, with settings, scores, costs and provenance; or write sheets of the "
    "images behind its scores."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "record", help="key of the record, or its first characters, as in leaderboard.csv"
    )
    parser.add_argument(
        "--images",
        action="store_true",
        help="write sheets of images: mistakes, confusions, nearest neighbours, retrieval misses",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        default=[],
        help="your images, as passed to `run`, if the record was computed on them; repeatable",
    )
    add_registries_and_folders(parser)
