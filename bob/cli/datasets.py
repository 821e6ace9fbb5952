"""Arguments of `bob-bench datasets`."""

import argparse

from bob.cli.data_flags import add_data_options
from bob.cli.quantities import positive_int
from bob.cli.shared_flags import (
    add_json,
    add_offline,
    add_registries_and_folders,
)

HELP = "inspect, check, download or remove datasets"
DESCRIPTION = "Inspect, check, download or remove registered datasets."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "what",
        choices=("show", "check", "prefetch", "verify", "disk", "remove", "page"),
        help="show: print the registry entry. check: report what the dataset consists of: images, "
        "classes, splits, duplicates, labels and files that need attention. prefetch: download the "
        "dataset. verify: count the images on this machine, without network access. disk: print "
        "disk usage. remove: delete downloaded files. page: print "
        "docs/reference/dataset_table.md.",
    )
    parser.add_argument(
        "names",
        nargs="?",
        default="all",
        metavar="NAMES",
        help="names, globs, groups such as group:vtab, or 'all', separated by commas (default: "
        "all); check: also the path of your own images, as for `run --data`",
    )
    parser.add_argument(
        "--images",
        action="store_true",
        help="check: decode every image, and report unreadable and nearly identical ones; read "
        "every mask, depth map and box, and report those that cannot be used",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="remove: delete the files (default: list them); prefetch: do not ask for confirmation",
    )
    add_data_options(parser)
    add_json(parser, "the reports of check")
    add_offline(parser)
    parser.add_argument(
        "--workers",
        metavar="N",
        type=positive_int,
        default=4,
        help="check --images: number of decoding threads (default: 4)",
    )
    add_registries_and_folders(parser)
