"""The command line. Nothing heavy is imported before it is needed: `--help` and `list` answer at once."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bob import __version__
from bob.errors import INTERRUPTED, OK, USAGE, BobError

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


def main(argv: Sequence[str] | None = None) -> int:
    """`bob-bench COMMAND ...`"""
    arguments, unknown = _parser().parse_known_args(argv)
    if unknown:
        arguments.command.refuse(unknown)
    try:
        code: int = arguments.act(arguments)
        return code
    except BobError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 (before the console is loaded)
        return USAGE
    except KeyboardInterrupt:
        print("\nstopped. The same command goes on where it stopped.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return OK


def run_benchmark(argv: Sequence[str] | None = None) -> int:
    """`python run_benchmark.py ...` is `bob-bench run ...`."""
    return main(["run", *(sys.argv[1:] if argv is None else argv)])


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where all flags stand, instead of listing them."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"error: {message}{'' if message.endswith(('.', '?')) else '.'} `{self.prog} --help` shows what there is.\n")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Words that the command does not know, with the nearest flag that it does."""
        from bob.parse import nearest

        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        word = unknown[0].partition("=")[0]
        self.error(f"unrecognized arguments: {' '.join(unknown)}{nearest(word, flags) if word.startswith('-') else '.'}")


def _parser() -> _Parser:
    parser = _Parser(prog="bob-bench", description="Which pretrained vision backbone should I use?", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"bob-bench {__version__}")
    parser.set_defaults(act=lambda _: _say_commands(parser), command=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_run(commands.add_parser("run", help="run tasks on backbones and update the leaderboard", allow_abbrev=False))
    _add_evaluate(commands.add_parser("evaluate", help="features that you have already: run tasks on files of them", allow_abbrev=False))
    _add_features(commands.add_parser("features", help="write a backbone's stored features to a file", allow_abbrev=False))
    _add_list(commands.add_parser("list", help="what there is: backbones, tasks, datasets, records", allow_abbrev=False))
    _add_leaderboard(commands.add_parser("leaderboard", help="write the leaderboard from the records", allow_abbrev=False))
    _add_recommend(commands.add_parser("recommend", help="which backbone should I use, within limits", allow_abbrev=False))
    _add_compare(commands.add_parser("compare", help="is one backbone better than another? paired tests", allow_abbrev=False))
    _add_show(commands.add_parser("show", help="where one number comes from: a record, whole", allow_abbrev=False))
    _add_datasets(commands.add_parser("datasets", help="a dataset's facts, checks, downloads, disk use", allow_abbrev=False))
    _add_cache(commands.add_parser("cache", help="stored features: show, verify, prune, move", allow_abbrev=False))
    _add_doctor(commands.add_parser("doctor", help="is a backbone's entry right, does it build, does it run", allow_abbrev=False))
    for command in commands.choices.values():
        command.set_defaults(command=command)
    return parser


def _say_commands(parser: _Parser) -> int:
    """No command was given: what there is, as an error."""
    parser.print_help(sys.stderr)
    return USAGE


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = "Embeds images with frozen backbones, once, and runs tasks on the features. Again, it does only what is missing."
    what = parser.add_argument_group("what to run (names, globs, groups such as family:ssl or group:samples, 'all'; separated by commas)")
    what.add_argument("--backbones", metavar="NAMES", help="default: those whose weights are on this machine")
    what.add_argument("--tasks", metavar="NAMES", default="group:core", help="default: group:core, one per question (see `bob-bench list tasks`)")
    what.add_argument("--datasets", metavar="NAMES", help="default: each task's own (group:samples)")
    what.add_argument("--data", metavar="PATH", action="append", default=[], help="your images: class folders, or a CSV with path,label")
    what.add_argument("--max-params", metavar="N", type=_count, help="leave out larger backbones, e.g. 30M")
    how = parser.add_argument_group("how")
    how.add_argument("--device", default="auto", help="auto, cpu, mps, cuda, cuda:1; several: cuda:0,cuda:1 or cuda:all (default: auto)")
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
    how.add_argument("--store-dtype", choices=("float32", "float16"), default="float32", help="of stored features (default: float32)")
    how.add_argument("--precision", choices=PRECISIONS, default="float32", help="of the forward (default: float32)")
    how.add_argument(
        "--batch-size", metavar="N", type=_auto_count, default=None, help="auto or a number; halves when memory is short (default: auto)"
    )
    how.add_argument("--workers", metavar="N", type=_auto_count, default=None, help="decoding threads (default: auto, one per core)")
    how.add_argument("--limit", metavar="N", type=_at_least_one, help="at most N images per split, class shares kept: for a quick look")
    how.add_argument("--seeds", metavar="N,N", type=_seeds, default=(0,), help="seeds of held-out draws (default: 0)")
    how.add_argument("--fresh", action="store_true", help="compute again what is stored, features and scores")
    how.add_argument("--skip-bad-images", action="store_true", help="leave unreadable images out, count them and say so")
    how.add_argument("--fail-fast", action="store_true", help="stop at the first cell that fails")
    how.add_argument("--offline", action="store_true", help="use no network")
    how.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    how.add_argument("--version", action="version", version=f"bob-bench {__version__}")
    _add_places(parser)
    parser.set_defaults(act=_run)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs tasks on features that were computed elsewhere and puts them on the leaderboard. A file holds x (N, D), y (N,) and perhaps ids, groups "
        "and split; or x_train, y_train, x_test, y_test. Formats: .npz, .safetensors, .pt, .csv, .parquet, a folder of .npy (docs/own_features.md)."
    )
    parser.add_argument("files", metavar="FILE", type=Path, nargs="*", help="one model each; two are compared with each other as well")
    for side in ("train", "val", "test"):
        parser.add_argument(f"--{side}", metavar="FILE", type=Path, help=f"{side} examples of one model, in a file of their own")
    parser.add_argument("--name", metavar="NAMES", help="of the models, separated by commas (default: the files' names)")
    what = parser.add_argument_group("of what the rows are, and what to ask")
    what.add_argument("--dataset", metavar="NAME", help="a registered dataset, by whose images' names rows are found; or a name of your own")
    what.add_argument("--data", metavar="PATH", help="your images, as given to `run`: splits and labels are theirs, rows are found by ids")
    what.add_argument("--skip-missing", action="store_true", help="leave images without a row out, count them and say so")
    what.add_argument("--tasks", metavar="NAMES", default="group:core", help="default: group:core (see `bob-bench list tasks`)")
    what.add_argument("--seeds", metavar="N,N", type=_seeds, default=(0,), help="seeds of held-out draws (default: 0)")
    what.add_argument("--device", default="auto", help="of the probes: auto, cpu, mps, cuda, cuda:1 (default: auto)")
    what.add_argument("--fresh", action="store_true", help="compute again what the results hold")
    facts = parser.add_argument_group("what you know of the model; what you do not tell stays unknown")
    facts.add_argument("--family", choices=("supervised", "ssl", "clip", "domain", "baseline"), help="default: given")
    facts.add_argument("--params", metavar="N", type=_count, help="such as 22M")
    facts.add_argument("--gflops", metavar="N", type=float, help="per image")
    facts.add_argument("--licence", metavar="TEXT", help="of the weights")
    facts.add_argument("--revision", metavar="TEXT", help="which state of the model; on the leaderboard the newest one's rows stand")
    _add_places(parser)
    parser.set_defaults(act=_evaluate)


def _add_features(parser: argparse.ArgumentParser) -> None:
    parser.description = "Writes x, y, ids, split, classes and groups as `bob-bench evaluate` reads them, from what a run has stored."
    parser.add_argument("backbone", metavar="BACKBONE")
    parser.add_argument("dataset", metavar="DATASET", nargs="?", help="a registered one; or --data")
    parser.add_argument("--data", metavar="PATH", help="your images, as given to `run`")
    parser.add_argument("--to", metavar="FILE", type=Path, required=True, help="ends in .npz or .safetensors")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="as the run had it (default: float32)")
    parser.add_argument("--preprocessing", choices=("exact", "fast"), default="exact", help="as the run had it (default: exact)")
    parser.add_argument("--store-dtype", choices=("float32", "float16"), default="float32", help="as the run had it (default: float32)")
    parser.add_argument("--device", default="cpu", help="as the run had it (default: cpu)")
    _add_places(parser)
    parser.set_defaults(act=_features)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("backbones", "tasks", "datasets", "records"))
    parser.add_argument("--json", action="store_true", help="for scripts")
    _add_places(parser)
    parser.set_defaults(act=_list)


def _add_leaderboard(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes leaderboard.{csv,md,tex,html}, leaderboard_wide.csv, ranking.csv and ranking_by_task.csv; robustness.csv where a task has shifts."
    )
    parser.add_argument(
        "folders",
        metavar="DIR",
        type=Path,
        nargs="*",
        help="results folders to merge (default: --results); files go to --results, or to a single DIR",
    )
    parser.add_argument(
        "--external", metavar="TABLE.csv", type=Path, action="append", default=[], help="published numbers to show beside; repeatable"
    )
    parser.add_argument("--figures", action="store_true", help="write figures/*.svg and *.png as well")
    _add_places(parser)
    parser.set_defaults(act=_leaderboard, results=None)


def _add_recommend(parser: argparse.ArgumentParser) -> None:
    parser.description = "From the records that there are: the best backbone within limits, who is not told apart from it, and what one gives up."
    parser.add_argument("--max-params", metavar="N", type=_count, help="such as 30M")
    parser.add_argument("--max-gflops", metavar="N", type=float, help="per image")
    parser.add_argument("--max-width", metavar="N", type=_count, help="of the embedding")
    parser.add_argument("--max-peak-mib", metavar="N", type=float, help="weights and activations, in a forward of 4 images")
    parser.add_argument("--min-images-per-s", metavar="N", type=float, help="as measured by the runs on --device")
    parser.add_argument("--licence", metavar="GLOB", help="such as 'apache*'")
    parser.add_argument("--device", help="where speeds were measured (default: where most were)")
    _add_part(parser)
    _add_places(parser)
    parser.set_defaults(act=_recommend)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a backbone that has records")
    parser.add_argument("b", metavar="B", help="another")
    _add_part(parser)
    _add_places(parser)
    parser.set_defaults(act=_compare)


def _add_part(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", metavar="NAMES", help="names and globs, separated by commas (default: all that have records)")
    parser.add_argument("--datasets", metavar="NAMES", help="names and globs, separated by commas (default: all that have records)")
    parser.add_argument("--data", metavar="PATH", action="append", default=[], help="your images, as given to `run`; repeatable")
    parser.add_argument("--json", action="store_true", help="for scripts")


def _add_datasets(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "show: what an entry says. check: open, count, look for images in two splits. prefetch: download now. "
        "verify: count what is here, without a network. disk: what it takes. remove: delete what was downloaded. page: docs/dataset_table.md."
    )
    parser.add_argument("what", choices=("show", "check", "prefetch", "verify", "disk", "remove", "page"))
    parser.add_argument("names", nargs="?", default="all", help="names, globs, groups such as group:vtab, 'all'; separated by commas (default: all)")
    parser.add_argument("--images", action="store_true", help="check: decode every image, for unreadable and nearly identical ones")
    parser.add_argument("--yes", action="store_true", help="remove: do it; prefetch: do not ask first")
    parser.add_argument("--offline", action="store_true", help="use no network")
    parser.add_argument("--workers", metavar="N", type=_at_least_one, default=4, help="check --images: decoding threads (default: 4)")
    _add_places(parser)
    parser.set_defaults(act=_datasets)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("record", help="a record's key, or the beginning of one, as in leaderboard.csv")
    parser.add_argument("--images", action="store_true", help="write picture sheets: mistakes, confusion, nearest neighbours, retrieval misses")
    parser.add_argument("--data", metavar="PATH", action="append", default=[], help="where the record's images are, if they are your own")
    _add_places(parser)
    parser.set_defaults(act=_show)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = "Checks entries of backbones without their weights; runs those whose weights are on this machine."
    parser.add_argument("names", metavar="NAMES", nargs="?", default="all", help="names, globs, family:ssl, group:samples (default: all)")
    parser.add_argument("--download", action="store_true", help="fetch the weights and run every one")
    parser.add_argument("--device", default="cpu", help="where they run (default: cpu)")
    _add_places(parser)
    parser.set_defaults(act=_doctor)


def _add_cache(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "show: whose features are here. verify: read them all. prune: remove by age or size, the longest unused first. "
        "move: to another folder. What a running process uses is never removed."
    )
    parser.add_argument("what", choices=("show", "verify", "prune", "move"), nargs="?", default="show")
    parser.add_argument("--older-than", metavar="TIME", type=_period, help="prune: unused for longer than 12h, 30d, 8w")
    parser.add_argument("--max-size", metavar="SIZE", type=_size, help="prune: down to 500M, 10G")
    parser.add_argument("--dry-run", action="store_true", help="prune: say what would go")
    parser.add_argument("--to", metavar="DIR", type=Path, help="move: another cache folder")
    parser.add_argument("--cache-dir", metavar="DIR", type=Path, help="default: $BOB_CACHE, else ~/.cache/bob-bench")
    parser.set_defaults(act=_cache)


def _add_places(parser: argparse.ArgumentParser) -> None:
    places = parser.add_argument_group("places")
    places.add_argument("--registry", metavar="FILE", type=Path, action="append", default=[], help="more backbones, as backbones.yaml; repeatable")
    places.add_argument("--allow-code", action="store_true", help="let backbones with loader python run the code that they name")
    places.add_argument("--tasks-dir", metavar="DIR", type=Path, action="append", default=[], help="more tasks and datasets, as tasks/; repeatable")
    places.add_argument("--results", metavar="DIR", type=Path, default=Path("results"), help="records and leaderboard (default: results)")
    places.add_argument("--cache-dir", metavar="DIR", type=Path, help="features (default: $BOB_CACHE, else ~/.cache/bob-bench)")


def _run(arguments: argparse.Namespace) -> int:
    from bob.runner import run

    return run(arguments)


def _evaluate(arguments: argparse.Namespace) -> int:
    from bob.given.command import evaluate_files

    return evaluate_files(arguments)


def _features(arguments: argparse.Namespace) -> int:
    from bob.given.export import write_features

    return write_features(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from bob.listing import show_list

    return show_list(arguments)


def _leaderboard(arguments: argparse.Namespace) -> int:
    from bob.publish import leaderboard

    return leaderboard(arguments)


def _recommend(arguments: argparse.Namespace) -> int:
    from bob.answers import recommend

    return recommend(arguments)


def _compare(arguments: argparse.Namespace) -> int:
    from bob.answers import compare_two

    return compare_two(arguments)


def _doctor(arguments: argparse.Namespace) -> int:
    from bob.doctor import doctor

    return doctor(arguments)


def _datasets(arguments: argparse.Namespace) -> int:
    from bob.datasets_command import datasets_command

    return datasets_command(arguments)


def _cache(arguments: argparse.Namespace) -> int:
    from bob.cache import cache

    return cache(arguments)


def _show(arguments: argparse.Namespace) -> int:
    from bob.show import show_record

    return show_record(arguments)


def _count(text: str) -> int:
    """'30M' as 30,000,000."""
    factors = {"K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
    number, factor = (text[:-1], factors[text[-1].upper()]) if text[-1:].upper() in factors else (text, 1.0)
    try:
        return int(float(number) * factor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 30M or 500K") from None


def _quantity(text: str, units: dict[str, int], example: str) -> float:
    """'10G' as bytes, '30d' as seconds."""
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not {example}")
    return float(number) * units[unit]


def _size(text: str) -> float:
    return _quantity(text, {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}, "a size such as 500M or 10G")


def _period(text: str) -> float:
    return _quantity(text, {"h": 3600, "d": 86400, "w": 7 * 86400}, "a time such as 12h, 30d or 8w")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _auto_count(text: str) -> int | None:
    return None if text == "auto" else _at_least_one(text)


def _seeds(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different whole numbers such as 0,1,2")
    return tuple(int(part) for part in parts)
