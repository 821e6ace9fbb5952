"""Arguments of `bob-bench reproduce`."""

import argparse

from bob.cli.shared_flags import add_registries_and_folders

HELP = "recompute a record from scratch and compare the scores"
DESCRIPTION = (
    "Recompute one record from the images on, without stored features, and print each recorded "
    "score beside the new one. Where the inputs are not those of the record, or the environment "
    "differs, the differences are listed. The exit code is 0 if all scores are identical."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "record", help="key of the record, or its first characters, as in leaderboard.csv"
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        default=[],
        help="your images, as passed to `run`, if the record was computed on them; repeatable",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, mps, cuda or cuda:1 (default: auto)",
    )
    parser.add_argument("--offline", action="store_true", help="do not access the network")
    add_registries_and_folders(parser)
