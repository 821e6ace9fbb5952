"""Arguments of `bob-bench recommend`."""

import argparse

from bob.cli.quantities import amount, count
from bob.cli.shared_flags import (
    RUNTIMES,
    add_json,
    add_record_selection,
    add_registries_and_folders,
)

HELP = "recommend the best backbone within limits"
DESCRIPTION = (
    "Recommend the best backbone within the given limits, list those statistically tied with it, "
    "and report the accuracy that the limits cost. Only existing records are used."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    group = parser.add_argument_group("limits", "All limits are optional.")
    group.add_argument(
        "--max-params", metavar="N", type=count, help="maximum number of parameters, e.g. 30M"
    )
    group.add_argument("--max-gflops", metavar="N", type=amount, help="maximum GFLOPs per image")
    group.add_argument(
        "--max-width", metavar="N", type=count, help="maximum width of the embedding"
    )
    group.add_argument(
        "--max-peak-mib",
        metavar="N",
        type=amount,
        help="maximum memory in MiB of weights and activations, in a forward pass of 4 images",
    )
    group.add_argument(
        "--min-images-per-s",
        metavar="N",
        type=amount,
        help="minimum throughput in images per second, as measured by runs on --device with "
        "--runtime",
    )
    group.add_argument(
        "--licence", metavar="GLOB", help="glob that the licence matches, e.g. 'apache*'"
    )
    group.add_argument(
        "--device",
        help="device whose measured speeds are used (default: that of most backbones)",
    )
    group.add_argument(
        "--runtime",
        choices=RUNTIMES,
        help="runtime whose measured speeds are used (default: any; speeds of different runtimes "
        "are not compared with each other)",
    )
    add_record_selection(parser)
    add_json(parser, "the recommendation")
    add_registries_and_folders(parser)
