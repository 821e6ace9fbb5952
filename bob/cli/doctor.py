"""Arguments of `bob-bench doctor`."""

import argparse

from bob.cli.shared_flags import add_registries_and_folders

HELP = "check registry entries of backbones"
DESCRIPTION = (
    "Check registry entries of backbones: documentation, names, and whether the architecture "
    "builds as declared. Backbones whose weights are on this machine are also run."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "names",
        metavar="NAMES",
        nargs="?",
        default="all",
        help="names, globs, groups such as family:ssl or group:samples, or 'all', separated by "
        "commas (default: all)",
    )
    parser.add_argument(
        "--download",
        action="store_true",
        help="download missing weights and run every backbone (default: run those on this machine)",
    )
    parser.add_argument("--device", default="cpu", help="device of the runs (default: cpu)")
    add_registries_and_folders(parser)
