"""Arguments of `bob-bench compare`."""

import argparse

from bob.cli.shared_flags import add_json, add_record_selection, add_registries_and_folders

HELP = "compare two backbones with paired tests"
DESCRIPTION = (
    "Compare two backbones with paired tests, on each task and dataset of which both have a "
    "record and over all of them."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("a", metavar="A", help="first backbone, by the name in its records")
    parser.add_argument("b", metavar="B", help="second backbone, by the name in its records")
    add_record_selection(parser)
    parser.add_argument(
        "--images",
        action="store_true",
        help="write a page for each task and dataset of the images that only one of them, or "
        "neither, predicts correctly, by class",
    )
    add_json(parser, "the comparison")
    add_registries_and_folders(parser)
