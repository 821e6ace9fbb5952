"""Arguments of `bob-bench features`."""

import argparse
from pathlib import Path

from bob.cli.data_flags import add_data_options
from bob.cli.shared_flags import (
    add_registries_and_folders,
    add_stored_settings,
)

HELP = "export the stored features of a backbone to a file"
DESCRIPTION = (
    "Export the features that `bob-bench run` has stored to a file with arrays x, y, ids, split, "
    "classes and groups, as `bob-bench evaluate` reads it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("backbone", metavar="BACKBONE", help="a registered backbone")
    parser.add_argument(
        "dataset", metavar="DATASET", nargs="?", help="a registered dataset; or use --data"
    )
    parser.add_argument("--data", metavar="PATH", help="your images, as passed to `run`")
    add_data_options(parser)
    parser.add_argument(
        "--to",
        metavar="FILE",
        type=Path,
        required=True,
        help="file to write, which ends in .npz or .safetensors",
    )
    add_stored_settings(parser)
    add_registries_and_folders(parser)
