"""Arguments of `bob-bench features`."""

import argparse
from pathlib import Path

from bob.cli.shared_flags import (
    PRECISIONS,
    PREPROCESSING,
    STORE_DTYPES,
    add_alpha,
    add_registries_and_folders,
    add_test_split,
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
    add_test_split(parser)
    parser.add_argument(
        "--to",
        metavar="FILE",
        type=Path,
        required=True,
        help="file to write, which ends in .npz or .safetensors",
    )
    group = parser.add_argument_group("settings of the run that stored the features")
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="numerical precision of the forward pass (default: float32)",
    )
    group.add_argument(
        "--preprocessing",
        choices=PREPROCESSING,
        default="exact",
        help="preprocessing of images (default: exact)",
    )
    add_alpha(group)
    group.add_argument(
        "--store-dtype",
        choices=STORE_DTYPES,
        default="float32",
        help="data type of stored features (default: float32)",
    )
    group.add_argument("--device", default="cpu", help="device of the forward pass (default: cpu)")
    add_registries_and_folders(parser)
