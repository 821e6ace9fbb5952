"""Arguments of `bob-bench probe`."""

import argparse
from pathlib import Path

from bob.cli.data_flags import add_data_options
from bob.cli.quantities import seed
from bob.cli.shared_flags import (
    add_offline,
    add_registries_and_folders,
    add_skip_bad_images,
    add_stored_settings,
)

HELP = "save the linear or ridge probe of a backbone to a file"
DESCRIPTION = (
    "Fit the linear or ridge probe of a backbone to labelled images and write it to a file with "
    "its classes, preprocessing, temperature and provenance. The probe is the one whose score a "
    "run records: the cell is run first where it has no record, and the file is written only if "
    "its predictions for the test images are the recorded ones."
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
        "--task",
        metavar="NAME",
        default="linear",
        help="a task whose probe is linear or ridge (default: linear)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=seed,
        default=0,
        help="seed of the sampling of held-out data (default: 0)",
    )
    parser.add_argument(
        "--to",
        metavar="FILE",
        type=Path,
        required=True,
        help="file to write, which ends in .safetensors",
    )
    add_skip_bad_images(parser)
    add_stored_settings(parser)
    add_offline(parser)
    add_registries_and_folders(parser)
