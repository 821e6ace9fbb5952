"""Flags that several commands share."""

import argparse
from pathlib import Path

from bob.cli.data_flags import add_data_options
from bob.cli.quantities import margin, seeds, share

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
PREPROCESSING = ("exact", "fast")
STORE_DTYPES = ("float32", "float16")
RUNTIMES = ("eager", "openvino", "onnxruntime", "compile")
ALPHA = ("white", "black", "drop")


def add_registries_and_folders(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where registry files, results and features are."""
    group = parser.add_argument_group("registries and folders")
    group.add_argument(
        "--registry",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="file with further backbones, in the format of backbones.yaml; repeatable",
    )
    group.add_argument(
        "--allow-code",
        action="store_true",
        help="run the code of backbones whose loader is python (default: refuse)",
    )
    group.add_argument(
        "--tasks-dir",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="folder with further tasks and datasets, in the format of tasks/; repeatable",
    )
    group.add_argument(
        "--results",
        metavar="DIR",
        type=Path,
        default=Path("results"),
        help="folder of records and leaderboards (default: results)",
    )
    add_cache_dir(group)


def add_skip_bad_images(parser: "argparse._ActionsContainer") -> None:
    """Add the flag that excludes unreadable images."""
    parser.add_argument(
        "--skip-bad-images",
        action="store_true",
        help="exclude unreadable images and report their number (default: fail the dataset)",
    )


def add_cache_dir(parser: "argparse._ActionsContainer") -> None:
    """Add the flag for the folder of stored features."""
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        type=Path,
        help="folder of stored features (default: $BOB_CACHE, else ~/.cache/bob-bench)",
    )


def add_external_columns(parser: argparse.ArgumentParser) -> None:
    """Add the flag that states how to read columns of published tables."""
    parser.add_argument(
        "--external-column",
        metavar="ROLE=COLUMN",
        action="append",
        default=[],
        help="how to read a column of these tables; ROLE is name (of backbones; several are "
        "joined), dataset, higher or lower (scores where that is better) or ignore; repeatable",
    )


def add_record_selection(parser: argparse.ArgumentParser) -> None:
    """Add the flags that select records by task and dataset."""
    group = parser.add_argument_group("selection of records")
    group.add_argument(
        "--tasks",
        metavar="NAMES",
        help="names and globs of tasks, separated by commas (default: all that have records)",
    )
    group.add_argument(
        "--datasets",
        metavar="NAMES",
        help="names and globs of datasets, separated by commas (default: all that have records)",
    )
    group.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        default=[],
        help="your images, as passed to `run`; repeatable",
    )


def add_record(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a record, and the flag for its images."""
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


def add_several_backbones(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name several backbones and one dataset."""
    parser.add_argument(
        "backbones", metavar="NAMES", help="names and groups of backbones, separated by commas"
    )
    parser.add_argument(
        "dataset", metavar="DATASET", nargs="?", help="a registered dataset; or use --data"
    )
    parser.add_argument("--data", metavar="PATH", help="your images, as passed to `run`")
    add_data_options(parser)


def add_alpha(parser: "argparse._ActionsContainer") -> None:
    """Add the flag that chooses the background of transparent images."""
    parser.add_argument(
        "--alpha",
        choices=ALPHA,
        default="white",
        help="background on which transparent images are laid; drop: ignore transparency, and use "
        "the colours stored under it (default: white)",
    )


def add_json(parser: argparse.ArgumentParser, content: str) -> None:
    """Add the flag that prints `content` as JSON."""
    parser.add_argument("--json", action="store_true", help=f"print {content} as JSON")


def add_offline(parser: "argparse._ActionsContainer") -> None:
    """Add the flag that forbids network access."""
    parser.add_argument("--offline", action="store_true", help="do not access the network")


def add_seeds(parser: "argparse._ActionsContainer") -> None:
    """Add the flag for the seeds of a run."""
    parser.add_argument(
        "--seeds",
        metavar="N,N",
        type=seeds,
        default=(0,),
        help="seeds of the sampling of held-out data, separated by commas (default: 0)",
    )


def add_race_test(parser: "argparse._ActionsContainer") -> None:
    """Add the settings of the test that drops backbones from a race."""
    parser.add_argument(
        "--indifference",
        metavar="X",
        type=margin,
        default=0.0,
        help="drop only what another beats by more than this difference in accuracy, such as 0.01; "
        "below 0, such as -0.01, drop what is shown not to be best by a lead of 0.01, which takes "
        "fewer images (default: 0)",
    )
    parser.add_argument(
        "--race-error",
        metavar="P",
        type=share,
        default=0.05,
        help="bound of the probability that what is certified is false, over all comparisons and "
        "looks (default: 0.05)",
    )
    parser.add_argument(
        "--certify",
        choices=("drops", "best", "tie"),
        default="drops",
        help="drops: everything dropped is worse than something else; best: the best is not "
        "dropped, though a tie for the best may be, which takes fewer images; tie: a survivor is "
        "the best, or so little worse that a full run could not show it, which takes fewest "
        "(default: drops)",
    )


def add_stored_settings(parser: argparse.ArgumentParser) -> None:
    """Add the settings of the run that stored features, on which their keys depend."""
    group = parser.add_argument_group("settings of the run that stored the features")
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="numerical precision of the forward pass (default: float32)",
    )
    group.add_argument(
        "--preprocessing",
        choices=PREPROCESSING,
        default="exact",
        help="preprocessing of images (default: exact)",
    )
    add_alpha(group)
    group.add_argument(
        "--store-dtype",
        choices=STORE_DTYPES,
        default="float32",
        help="data type of stored features (default: float32)",
    )
    group.add_argument("--device", default="cpu", help="device of the forward pass (default: cpu)")
