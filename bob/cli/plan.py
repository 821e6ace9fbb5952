"""Arguments of `bob-bench plan`."""

import argparse

from bob.cli.quantities import two_names
from bob.cli.shared_flags import add_json, add_record_selection, add_registries_and_folders

HELP = "say how many images would tell two backbones apart"
DESCRIPTION = (
    "Plan the images of a decision between two backbones that have records: how many test images "
    "a paired test needs to tell them apart with a power of 80 %, and whether ten times the train "
    "images would likely turn their order."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--separate",
        metavar="A,B",
        type=two_names,
        required=True,
        help="the two backbones, by the names in their records",
    )
    add_record_selection(parser)
    add_json(parser, "the numbers")
    add_registries_and_folders(parser)
