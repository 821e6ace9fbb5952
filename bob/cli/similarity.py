"""Arguments of `bob-bench similarity`."""

import argparse
from pathlib import Path

from bob.cli.quantities import count
from bob.cli.shared_flags import (
    add_json,
    add_registries_and_folders,
    add_several_backbones,
    add_stored_settings,
)

HELP = "compare the stored features of backbones with each other"
DESCRIPTION = (
    "Measure how alike the stored features of backbones are on the same images: debiased linear "
    "CKA, shared nearest neighbours, and rank correlation of distances, with 95 % intervals."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_several_backbones(parser)
    parser.add_argument(
        "--split",
        default="test",
        help="split whose images are compared (default: test)",
    )
    parser.add_argument(
        "--most",
        metavar="N",
        type=count,
        default=1000,
        help="largest number of images, evenly spaced (default: 1000)",
    )
    parser.add_argument("--to", metavar="FILE", type=Path, help="CSV file to write, a pair per row")
    add_json(parser, "the pairs")
    add_stored_settings(parser)
    add_registries_and_folders(parser)
