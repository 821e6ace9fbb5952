"""The flags of the commands that compute: run, evaluate, features."""

import argparse
from pathlib import Path

from bob import __version__
from bob.cli.places import add_places
from bob.cli.quantities import at_least_one, auto_count, count, seeds

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


def add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = "Embeds images with frozen backbones, once, and runs tasks on the features. Again, it does only what is missing."
    what = parser.add_argument_group(
        "what to run (names, globs, groups such as family:ssl or group:samples, 'all'; separated by commas)"
    )
    what.add_argument(
        "--backbones", metavar="NAMES", help="default: those whose weights are on this machine"
    )
    what.add_argument(
        "--tasks",
        metavar="NAMES",
        default="group:core",
        help="default: group:core, one per question (see `bob-bench list tasks`)",
    )
    what.add_argument(
        "--datasets", metavar="NAMES", help="default: each task's own (group:samples)"
    )
    what.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        default=[],
        help="your images: class folders, or a CSV with path,label",
    )
    what.add_argument(
        "--max-params", metavar="N", type=count, help="leave out larger backbones, e.g. 30M"
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, mps, cuda, cuda:1; several: cuda:0,cuda:1 or cuda:all (default: auto)",
    )
    how.add_argument(
        "--runtime",
        choices=("auto", "eager", "openvino", "onnxruntime", "compile"),
        default="auto",
        help="of the forward; auto races those that are installed and agree with eager to 1e-5 (default: auto)",
    )
    how.add_argument(
        "--preprocessing",
        choices=("exact", "fast"),
        default="exact",
        help="exact: the library's own pixels; fast: within two grey levels of them, by torchvision's kernels, other features (default: exact)",
    )
    how.add_argument(
        "--store-dtype",
        choices=("float32", "float16"),
        default="float32",
        help="of stored features (default: float32)",
    )
    how.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the forward (default: float32)",
    )
    how.add_argument(
        "--batch-size",
        metavar="N",
        type=auto_count,
        default=None,
        help="auto or a number; halves when memory is short (default: auto)",
    )
    how.add_argument(
        "--workers",
        metavar="N",
        type=auto_count,
        default=None,
        help="decoding threads (default: auto, one per core)",
    )
    how.add_argument(
        "--limit",
        metavar="N",
        type=at_least_one,
        help="at most N images per split, class shares kept: for a quick look",
    )
    how.add_argument(
        "--seeds",
        metavar="N,N",
        type=seeds,
        default=(0,),
        help="seeds of held-out draws (default: 0)",
    )
    how.add_argument(
        "--fresh", action="store_true", help="compute again what is stored, features and scores"
    )
    how.add_argument(
        "--skip-bad-images",
        action="store_true",
        help="leave unreadable images out, count them and say so",
    )
    how.add_argument("--fail-fast", action="store_true", help="stop at the first cell that fails")
    how.add_argument("--offline", action="store_true", help="use no network")
    how.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    how.add_argument("--version", action="version", version=f"bob-bench {__version__}")
    add_places(parser)
    parser.set_defaults(act=_run)


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs tasks on features that were computed elsewhere and puts them on the leaderboard. A file holds x (N, D), y (N,) and perhaps ids, groups "
        "and split; or x_train, y_train, x_test, y_test. Formats: .npz, .safetensors, .pt, .csv, .parquet, a folder of .npy (docs/own_features.md)."
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        type=Path,
        nargs="*",
        help="one model each; two are compared with each other as well",
    )
    for side in ("train", "val", "test"):
        parser.add_argument(
            f"--{side}",
            metavar="FILE",
            type=Path,
            help=f"{side} examples of one model, in a file of their own",
        )
    parser.add_argument(
        "--name",
        metavar="NAMES",
        help="of the models, separated by commas (default: the files' names)",
    )
    what = parser.add_argument_group("of what the rows are, and what to ask")
    what.add_argument(
        "--dataset",
        metavar="NAME",
        help="a registered dataset, by whose images' names rows are found; or a name of your own",
    )
    what.add_argument(
        "--data",
        metavar="PATH",
        help="your images, as given to `run`: splits and labels are theirs, rows are found by ids",
    )
    what.add_argument(
        "--skip-missing",
        action="store_true",
        help="leave images without a row out, count them and say so",
    )
    what.add_argument(
        "--tasks",
        metavar="NAMES",
        default="group:core",
        help="default: group:core (see `bob-bench list tasks`)",
    )
    what.add_argument(
        "--seeds",
        metavar="N,N",
        type=seeds,
        default=(0,),
        help="seeds of held-out draws (default: 0)",
    )
    what.add_argument(
        "--device",
        default="auto",
        help="of the probes: auto, cpu, mps, cuda, cuda:1 (default: auto)",
    )
    what.add_argument("--fresh", action="store_true", help="compute again what the results hold")
    facts = parser.add_argument_group(
        "what you know of the model; what you do not tell stays unknown"
    )
    facts.add_argument(
        "--family",
        choices=("supervised", "ssl", "clip", "domain", "baseline"),
        help="default: given",
    )
    facts.add_argument("--params", metavar="N", type=count, help="such as 22M")
    facts.add_argument("--gflops", metavar="N", type=float, help="per image")
    facts.add_argument("--licence", metavar="TEXT", help="of the weights")
    facts.add_argument(
        "--revision",
        metavar="TEXT",
        help="which state of the model; on the leaderboard the newest one's rows stand",
    )
    add_places(parser)
    parser.set_defaults(act=_evaluate)


def add_features(parser: argparse.ArgumentParser) -> None:
    parser.description = "Writes x, y, ids, split, classes and groups as `bob-bench evaluate` reads them, from what a run has stored."
    parser.add_argument("backbone", metavar="BACKBONE")
    parser.add_argument("dataset", metavar="DATASET", nargs="?", help="a registered one; or --data")
    parser.add_argument("--data", metavar="PATH", help="your images, as given to `run`")
    parser.add_argument(
        "--to", metavar="FILE", type=Path, required=True, help="ends in .npz or .safetensors"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="as the run had it (default: float32)",
    )
    parser.add_argument(
        "--preprocessing",
        choices=("exact", "fast"),
        default="exact",
        help="as the run had it (default: exact)",
    )
    parser.add_argument(
        "--store-dtype",
        choices=("float32", "float16"),
        default="float32",
        help="as the run had it (default: float32)",
    )
    parser.add_argument("--device", default="cpu", help="as the run had it (default: cpu)")
    add_places(parser)
    parser.set_defaults(act=_features)


def _run(arguments: argparse.Namespace) -> int:
    from bob.commands.run import run

    return run(arguments)


def _evaluate(arguments: argparse.Namespace) -> int:
    from bob.commands.evaluate import evaluate_files

    return evaluate_files(arguments)


def _features(arguments: argparse.Namespace) -> int:
    from bob.commands.features import write_features

    return write_features(arguments)
