"""The flags of the commands that answer from records: list, leaderboard, recommend, compare, show."""

import argparse
from pathlib import Path

from bob.cli.places import add_places
from bob.cli.quantities import count


def add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("backbones", "tasks", "datasets", "records"))
    parser.add_argument("--json", action="store_true", help="for scripts")
    add_places(parser)
    parser.set_defaults(act=_list)


def add_leaderboard(parser: argparse.ArgumentParser) -> None:
    parser.description = "Writes leaderboard.{csv,md,tex,html}, leaderboard_wide.csv, ranking.csv and ranking_by_task.csv; robustness.csv where a task has shifts."
    parser.add_argument(
        "folders",
        metavar="DIR",
        type=Path,
        nargs="*",
        help="results folders to merge (default: --results); files go to --results, or to a single DIR",
    )
    parser.add_argument(
        "--external",
        metavar="TABLE.csv",
        type=Path,
        action="append",
        default=[],
        help="published numbers to show beside; repeatable",
    )
    parser.add_argument(
        "--figures", action="store_true", help="write figures/*.svg and *.png as well"
    )
    add_places(parser)
    parser.set_defaults(act=_leaderboard, results=None)


def add_recommend(parser: argparse.ArgumentParser) -> None:
    parser.description = "From the records that there are: the best backbone within limits, who is not told apart from it, and what one gives up."
    parser.add_argument("--max-params", metavar="N", type=count, help="such as 30M")
    parser.add_argument("--max-gflops", metavar="N", type=float, help="per image")
    parser.add_argument("--max-width", metavar="N", type=count, help="of the embedding")
    parser.add_argument(
        "--max-peak-mib",
        metavar="N",
        type=float,
        help="weights and activations, in a forward of 4 images",
    )
    parser.add_argument(
        "--min-images-per-s", metavar="N", type=float, help="as measured by the runs on --device"
    )
    parser.add_argument("--licence", metavar="GLOB", help="such as 'apache*'")
    parser.add_argument("--device", help="where speeds were measured (default: where most were)")
    _add_part(parser)
    add_places(parser)
    parser.set_defaults(act=_recommend)


def add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a backbone that has records")
    parser.add_argument("b", metavar="B", help="another")
    _add_part(parser)
    add_places(parser)
    parser.set_defaults(act=_compare)


def _add_part(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tasks",
        metavar="NAMES",
        help="names and globs, separated by commas (default: all that have records)",
    )
    parser.add_argument(
        "--datasets",
        metavar="NAMES",
        help="names and globs, separated by commas (default: all that have records)",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        default=[],
        help="your images, as given to `run`; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")


def add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "record", help="a record's key, or the beginning of one, as in leaderboard.csv"
    )
    parser.add_argument(
        "--images",
        action="store_true",
        help="write picture sheets: mistakes, confusion, nearest neighbours, retrieval misses",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        default=[],
        help="where the record's images are, if they are your own",
    )
    add_places(parser)
    parser.set_defaults(act=_show)


def _list(arguments: argparse.Namespace) -> int:
    from bob.commands.list import show_list

    return show_list(arguments)


def _leaderboard(arguments: argparse.Namespace) -> int:
    from bob.commands.leaderboard import leaderboard

    return leaderboard(arguments)


def _recommend(arguments: argparse.Namespace) -> int:
    from bob.commands.recommend import recommend

    return recommend(arguments)


def _compare(arguments: argparse.Namespace) -> int:
    from bob.commands.compare import compare_two

    return compare_two(arguments)


def _show(arguments: argparse.Namespace) -> int:
    from bob.commands.show import show_record

    return show_record(arguments)
