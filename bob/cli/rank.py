"""Arguments of `bob-bench rank`."""

import argparse

from bob.cli.shared_flags import add_json, add_registries_and_folders

HELP = "order backbones by descriptions of their features"
DESCRIPTION = (
    "Order backbones by descriptions of their features, such as LogME, from the records of the "
    "task diagnostics, beside the score of the linear probe on the same dataset and the rank "
    "correlation of the two. A description is no result: the leaderboard ranks nothing by it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--by",
        metavar="NAMES",
        default="logme,hscore,nleep,rankme",
        help="descriptions, separated by commas (default: logme,hscore,nleep,rankme)",
    )
    parser.add_argument(
        "--datasets",
        metavar="NAMES",
        help="names and globs of datasets, separated by commas (default: all that have records)",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        default=[],
        help="your images, as passed to `run`; repeatable",
    )
    add_json(parser, "the orders")
    add_registries_and_folders(parser)
