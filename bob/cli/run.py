"""Arguments of `bob-bench run`."""

import argparse
from pathlib import Path

from bob import __version__
from bob.cli.data_flags import add_data_options, add_normal, add_retrieve
from bob.cli.quantities import (
    BudgetArgument,
    auto_count,
    budget,
    count,
    part,
    positive_int,
    seed,
)
from bob.cli.shared_flags import (
    PRECISIONS,
    PREPROCESSING,
    RUNTIMES,
    STORE_DTYPES,
    add_alpha,
    add_offline,
    add_race_test,
    add_registries_and_folders,
    add_seeds,
    add_skip_bad_images,
)

HELP = "extract features, run tasks on them and update the leaderboard"
DESCRIPTION = (
    "Extract image features with frozen backbones, run tasks on the features and update the "
    "leaderboard. Each backbone embeds an image once. Running the command again computes only "
    "what is missing."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _add_selection(parser)
    _add_data_options(parser)
    _add_execution(parser)
    _add_race(parser)
    add_registries_and_folders(parser)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "selection",
        "NAMES are names, globs, groups such as family:ssl or group:samples, or 'all', separated "
        "by commas.",
    )
    group.add_argument(
        "--backbones",
        metavar="NAMES",
        help="backbones to run (default: those whose weights are on this machine)",
    )
    group.add_argument(
        "--tasks",
        metavar="NAMES",
        default="group:core",
        help="tasks to run (default: group:core, one task per question; see `bob-bench list "
        "tasks`)",
    )
    group.add_argument(
        "--datasets",
        metavar="NAMES",
        help="datasets to run on (default: those of each task, group:samples; none with --data)",
    )
    group.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        default=[],
        help="your images: a folder with a subfolder per class, or a CSV file with columns path "
        "and label; repeatable",
    )
    group.add_argument(
        "--max-params",
        metavar="N",
        type=count,
        help="skip backbones with more than N parameters, e.g. 30M (default: no limit)",
    )


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "your images",
        "COLUMN is a column of the table in --data, or a level of folders that --levels names.",
    )
    add_data_options(group)
    add_retrieve(group)
    add_normal(group)


def _add_execution(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("execution")
    group.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, mps, cuda or cuda:1; for several devices, cuda:0,cuda:1 or cuda:all "
        "(default: auto)",
    )
    group.add_argument(
        "--engine",
        choices=("local", "ray", "ray:local"),
        default="local",
        help="what computes: local, this process; ray, the Ray cluster in RAY_ADDRESS or on this "
        "machine; ray:local, a cluster that is started here and ends with the run (default: local)",
    )
    group.add_argument(
        "--runtime",
        choices=("auto", *RUNTIMES),
        default="auto",
        help="runtime of the forward pass; auto picks the fastest of those that are installed and "
        "agree with eager PyTorch to 1e-5 (default: auto)",
    )
    group.add_argument(
        "--preprocessing",
        choices=PREPROCESSING,
        default="exact",
        help="exact: the same pixels as the backbone's library; fast: torchvision's kernels, "
        "within two grey levels of these pixels and stored as other features (default: exact)",
    )
    add_alpha(group)
    group.add_argument(
        "--store-dtype",
        choices=STORE_DTYPES,
        default="float32",
        help="data type of stored features (default: float32)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="numerical precision of the forward pass (default: float32)",
    )
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=auto_count,
        default=None,
        help="images per batch, or auto; halved if memory runs out (default: auto)",
    )
    group.add_argument(
        "--workers",
        metavar="N",
        type=auto_count,
        default=None,
        help="number of decoding threads, or auto for one per core (default: auto)",
    )
    group.add_argument(
        "--limit",
        metavar="N",
        type=positive_int,
        help="use at most N images per split with class shares preserved, for a quick look "
        "(default: all images)",
    )
    add_seeds(group)
    group.add_argument("--fresh", action="store_true", help="recompute stored features and scores")
    add_skip_bad_images(group)
    group.add_argument(
        "--fail-fast",
        action="store_true",
        help="stop at the first failed cell (default: continue with the next)",
    )
    add_offline(group)
    group.add_argument(
        "--dry-run", action="store_true", help="print the plan, then stop; download nothing"
    )
    group.add_argument(
        "--json",
        action="store_true",
        help="print the result as JSON, with the path of the page; with --dry-run: the plan",
    )
    group.add_argument(
        "--quiet",
        action="store_true",
        help="print only the path of the page and the conclusion, beside errors and notes",
    )
    group.add_argument(
        "--plan",
        metavar="FILE",
        type=Path,
        help="carry out a plan that `--dry-run --json` printed; what to run and its settings are "
        "the plan's",
    )
    group.add_argument(
        "--part",
        metavar="I/N",
        type=part,
        help="with --plan: carry out the I-th of N parts, e.g. in a SLURM array (default: all)",
    )
    group.add_argument("--version", action="version", version=f"bob-bench {__version__}")


def _add_race(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "race", "Only backbones that may be the best are run on all images."
    )
    group.add_argument(
        "--race",
        action="store_true",
        help="embed images block by block, and drop backbones once another is shown to be better "
        "at that many images; the survivors are run in full (tasks such as knn, linear and "
        "retrieval)",
    )
    add_race_test(group)
    group.add_argument(
        "--budget",
        metavar="TIME|N",
        type=budget,
        default=BudgetArgument(),
        help="end the race after a time, such as 30m, or before more than N images are embedded, "
        "counted for each backbone; the same command without it continues (default: no limit)",
    )
    group.add_argument(
        "--race-seed",
        metavar="N",
        type=seed,
        default=0,
        help="seed of the order in which images are used (default: 0)",
    )
