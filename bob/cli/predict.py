"""Arguments of `bob-bench predict`."""

import argparse
from pathlib import Path

from bob.cli.shared_flags import add_offline

HELP = "predict the classes of images with a saved probe"
DESCRIPTION = (
    "Predict the class of each image with a file that `bob-bench probe` wrote, and write one row "
    "per image: path, class, its probability, and its calibrated probability. Images are decoded, "
    "cropped and embedded as in the run that the probe was scored in. Unreadable images have a row "
    "with the reason, and the exit code is 1."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("probe", metavar="FILE", type=Path, help="file that `probe` wrote")
    parser.add_argument(
        "--images",
        metavar="PATH",
        type=Path,
        required=True,
        help="an image, a folder of images at any depth, or a CSV file with a column path",
    )
    parser.add_argument(
        "--to", metavar="FILE", type=Path, required=True, help="CSV file to write, a row per image"
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="add a column of calibrated probabilities for every class",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="device of the forward pass: auto, cpu, mps, cuda or cuda:1 (default: auto)",
    )
    parser.add_argument(
        "--allow-code",
        action="store_true",
        help="run the code of a backbone whose loader is python (default: refuse)",
    )
    add_offline(parser)
