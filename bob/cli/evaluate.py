"""Arguments of `bob-bench evaluate`."""

import argparse
from pathlib import Path

from bob.cli.data_flags import add_normal, add_test_split
from bob.cli.quantities import amount, count
from bob.cli.shared_flags import (
    add_registries_and_folders,
    add_seeds,
)

HELP = "run tasks on features that were computed elsewhere"
DESCRIPTION = (
    "Run tasks on features that were computed elsewhere and add the scores to the leaderboard. A "
    "file holds arrays x (N, D) and y (N,), and optionally ids, groups and split; or x_train, "
    "y_train, x_test and y_test. Formats: .npz, .safetensors, .pt, .csv, .parquet, or a folder of "
    ".npy files. See docs/how_to/own_features.md."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "files",
        metavar="FILE",
        type=Path,
        nargs="*",
        help="feature files, one per model; two models are also compared with each other",
    )
    for split in ("train", "val", "test"):
        parser.add_argument(
            f"--{split}",
            metavar="FILE",
            type=Path,
            help=f"feature file with the {split} examples of one model, instead of FILE",
        )
    parser.add_argument(
        "--name",
        metavar="NAMES",
        help="names of the models, separated by commas (default: the names of the files)",
    )
    _add_data_and_tasks(parser)
    _add_model_facts(parser)
    add_registries_and_folders(parser)


def _add_data_and_tasks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data and tasks")
    group.add_argument(
        "--dataset",
        metavar="NAME",
        help="a registered dataset, to whose images rows are matched by id; or a new name for the "
        "examples in the files (default: the name of the model)",
    )
    group.add_argument(
        "--data",
        metavar="PATH",
        help="your images, as passed to `run`: they define splits and labels, and rows are matched "
        "to them by id",
    )
    add_test_split(group)
    add_normal(group)
    group.add_argument(
        "--skip-missing",
        action="store_true",
        help="exclude images without a row and report their number (default: an error)",
    )
    group.add_argument(
        "--tasks",
        metavar="NAMES",
        default="group:core",
        help="tasks to run (default: group:core; see `bob-bench list tasks`)",
    )
    add_seeds(group)
    group.add_argument(
        "--device",
        default="auto",
        help="device of the probes: auto, cpu, mps, cuda or cuda:1 (default: auto)",
    )
    group.add_argument(
        "--fresh", action="store_true", help="recompute scores that the results already hold"
    )


def _add_model_facts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("facts about the model", "Omitted facts are unknown.")
    group.add_argument(
        "--family",
        choices=("supervised", "ssl", "clip", "domain", "baseline"),
        help="family of the model (default: precomputed)",
    )
    group.add_argument("--params", metavar="N", type=count, help="number of parameters, e.g. 22M")
    group.add_argument("--gflops", metavar="N", type=amount, help="GFLOPs per image")
    group.add_argument("--licence", metavar="TEXT", help="licence of the weights")
    group.add_argument(
        "--revision",
        metavar="TEXT",
        help="version of the model; the leaderboard shows the one that was evaluated last",
    )
