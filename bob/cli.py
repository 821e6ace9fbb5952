"""The command line. Nothing heavy is imported before it is needed: `--help` and `list` answer at once."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bob import __version__
from bob.errors import INTERRUPTED, OK, USAGE, BobError


def main(argv: Sequence[str] | None = None) -> int:
    """`bob-bench COMMAND ...`"""
    arguments = _parser().parse_args(argv)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bob-bench", description="Which pretrained vision backbone should I use?", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"bob-bench {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="run tasks on backbones and update the leaderboard", allow_abbrev=False))
    _add_list(commands.add_parser("list", help="what there is: backbones, tasks, datasets, records", allow_abbrev=False))
    _add_leaderboard(commands.add_parser("leaderboard", help="write the leaderboard from the records", allow_abbrev=False))
    _add_show(commands.add_parser("show", help="where one number comes from: a record, whole", allow_abbrev=False))
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = "Embeds images with frozen backbones, once, and runs tasks on the features. Again, it does only what is missing."
    what = parser.add_argument_group("what to run (names, globs, groups such as family:ssl or group:samples, 'all'; separated by commas)")
    what.add_argument("--backbones", metavar="NAMES", help="default: those whose weights are on this machine")
    what.add_argument("--tasks", metavar="NAMES", default="all", help="default: all")
    what.add_argument("--datasets", metavar="NAMES", help="default: each task's own (group:samples)")
    what.add_argument("--data", metavar="PATH", action="append", default=[], help="your images: class folders, or a CSV with path,label")
    what.add_argument("--max-params", metavar="N", type=_count, help="leave out larger backbones, e.g. 30M")
    how = parser.add_argument_group("how")
    how.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    how.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32", help="of the forward (default: float32)")
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
    _add_places(parser)
    parser.set_defaults(act=_run)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("backbones", "tasks", "datasets", "records"))
    parser.add_argument("--json", action="store_true", help="for scripts")
    _add_places(parser)
    parser.set_defaults(act=_list)


def _add_leaderboard(parser: argparse.ArgumentParser) -> None:
    _add_places(parser)
    parser.set_defaults(act=_leaderboard)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("record", help="a record's key, or the beginning of one, as in leaderboard.csv")
    _add_places(parser)
    parser.set_defaults(act=_show)


def _add_places(parser: argparse.ArgumentParser) -> None:
    places = parser.add_argument_group("places")
    places.add_argument("--registry", metavar="FILE", type=Path, action="append", default=[], help="more backbones, as backbones.yaml; repeatable")
    places.add_argument("--tasks-dir", metavar="DIR", type=Path, action="append", default=[], help="more tasks and datasets, as tasks/; repeatable")
    places.add_argument("--results", metavar="DIR", type=Path, default=Path("results"), help="records and leaderboard (default: results)")
    places.add_argument("--cache-dir", metavar="DIR", type=Path, help="features (default: $BOB_CACHE, else ~/.cache/bob-bench)")


def _run(arguments: argparse.Namespace) -> int:
    from bob.runner import run

    return run(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from bob.listing import show_list

    return show_list(arguments)


def _leaderboard(arguments: argparse.Namespace) -> int:
    from bob.runner import leaderboard

    return leaderboard(arguments)


def _show(arguments: argparse.Namespace) -> int:
    from bob.listing import show_record

    return show_record(arguments)


def _count(text: str) -> int:
    """'30M' as 30,000,000."""
    factors = {"K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
    number, factor = (text[:-1], factors[text[-1].upper()]) if text[-1:].upper() in factors else (text, 1.0)
    try:
        return int(float(number) * factor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 30M or 500K") from None


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
