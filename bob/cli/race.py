"""Arguments of `bob-bench race`."""

import argparse
from pathlib import Path

from bob.cli.quantities import positive_int, seed
from bob.cli.shared_flags import add_json, add_race_test

HELP = "find the best model of a table of predictions without using all examples"
DESCRIPTION = (
    "Race models on given predictions: examples are used in a random order, and a model is "
    "dropped once an anytime-valid paired test says that another is better. Prints the survivors, "
    "when each other was dropped, and the evaluations saved."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--matrix",
        metavar="FILE",
        type=Path,
        required=True,
        help="predicted classes, a .npy array (examples × models) of integers or text",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        type=Path,
        required=True,
        help="true classes, a .npy array (examples)",
    )
    parser.add_argument(
        "--names",
        metavar="FILE",
        type=Path,
        help="names of the models, a text file with one per line (default: their columns)",
    )
    group = parser.add_argument_group("race")
    add_race_test(group)
    group.add_argument(
        "--target",
        choices=("population", "test-set"),
        default="population",
        help="what is certified: which model is better on the population of which the examples are "
        "a sample, or on these examples alone (default: population)",
    )
    group.add_argument(
        "--budget",
        metavar="N",
        type=positive_int,
        help="end the race after N examples (default: all)",
    )
    group.add_argument(
        "--look-every",
        metavar="N",
        type=positive_int,
        help="number of examples between two looks (default: 1 %% of the examples, at least 10)",
    )
    group.add_argument(
        "--seed", metavar="N", type=seed, default=0, help="seed of the random order (default: 0)"
    )
    add_json(parser, "the race")
