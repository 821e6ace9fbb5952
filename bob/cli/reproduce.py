"""Arguments of `bob-bench reproduce`."""

import argparse

from bob.cli.shared_flags import add_offline, add_record, add_registries_and_folders

HELP = "recompute a record from scratch and compare the scores"
DESCRIPTION = (
    "Recompute one record from the images on, without stored features, and print each recorded "
    "score beside the new one. Where the inputs are not those of the record, or the environment "
    "differs, the differences are listed. The exit code is 0 if all scores are identical."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_record(parser)
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, mps, cuda or cuda:1 (default: auto)",
    )
    add_offline(parser)
    add_registries_and_folders(parser)
