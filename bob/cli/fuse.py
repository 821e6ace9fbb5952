"""Arguments of `bob-bench fuse`."""

import argparse

from bob.cli.quantities import seed
from bob.cli.shared_flags import (
    add_json,
    add_registries_and_folders,
    add_several_backbones,
    add_stored_settings,
)

HELP = "measure what several backbones gain together over the best of them"
DESCRIPTION = (
    "Fit linear probes to the stored features of several backbones, average their predictions and "
    "concatenate their features, and test the gain over the best single backbone. Backbone and "
    "fusion are chosen on held-out train images."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_several_backbones(parser)
    parser.add_argument(
        "--seed", type=seed, default=0, help="seed of the held-out images (default: 0)"
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="write the chosen fusion as a record, which leaderboards show beside single backbones "
        "with the summed cost and never rank",
    )
    add_json(parser, "the fusion")
    add_stored_settings(parser)
    add_registries_and_folders(parser)
