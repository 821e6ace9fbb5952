"""Arguments of `bob-bench export`."""

import argparse
from pathlib import Path

from bob.cli.shared_flags import add_offline

HELP = "write backbone and probe as one ONNX graph, or as a program for timm"
DESCRIPTION = (
    "Write the backbone and the probe of a file of `bob-bench probe` for use without bob-bench: as "
    "one ONNX graph, whose probabilities are checked to be those of the probe to 1e-4, or as a "
    "Python program that needs timm, safetensors and Pillow alone."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("probe", metavar="FILE", type=Path, help="file that `probe` wrote")
    parser.add_argument(
        "--onnx",
        metavar="FILE",
        type=Path,
        help="ONNX file to write: crops (N, 3, H, W) of 8 bits in, logits and probabilities out",
    )
    parser.add_argument(
        "--python",
        metavar="FILE",
        type=Path,
        help="program to write, which ends in .py; the weights go to a .safetensors file beside it",
    )
    parser.add_argument(
        "--allow-code",
        action="store_true",
        help="run the code of a backbone whose loader is python (default: refuse)",
    )
    add_offline(parser)
