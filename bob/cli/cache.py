"""Arguments of `bob-bench cache`."""

import argparse
from pathlib import Path

from bob.cli.quantities import period, size
from bob.cli.shared_flags import add_cache_dir

HELP = "inspect, verify, prune or move stored features; show tuned runtimes"
DESCRIPTION = (
    "Inspect, verify, prune or move stored features, or show which runtime each architecture uses. "
    "Features that a running process uses are never removed."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "what",
        choices=("show", "verify", "prune", "move", "runtimes"),
        nargs="?",
        default="show",
        help="show: list stored features. verify: read all files and report damaged ones. prune: "
        "remove features by age or size, least recently used first. move: move features to another "
        "folder. runtimes: list the runtime chosen for each architecture and the speeds of all "
        "that were tried. (default: show)",
    )
    parser.add_argument(
        "--older-than",
        metavar="TIME",
        type=period,
        help="prune: remove features that were not used for TIME, e.g. 12h, 30d or 8w",
    )
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        type=size,
        help="prune: remove features until at most SIZE is left, e.g. 500M or 10G",
    )
    parser.add_argument("--dry-run", action="store_true", help="prune: list what would be removed")
    parser.add_argument("--to", metavar="DIR", type=Path, help="move: the other cache folder")
    add_cache_dir(parser)
