"""Arguments of `bob-bench show`."""

import argparse

from bob.cli.shared_flags import add_json, add_record, add_registries_and_folders

HELP = "show a record, or the images behind its scores"
DESCRIPTION = (
    "Print a record: scores, backbone, data, settings, costs and provenance; or write a page "
    "of the images behind its scores."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_record(parser)
    parser.add_argument(
        "--images",
        action="store_true",
        help="write a page of images: confusions, mistakes, their nearest train images, outliers; "
        "of retrieval, the misses; of dense tasks, targets, predictions, errors and features",
    )
    add_json(parser, "all fields of the record")
    add_registries_and_folders(parser)
