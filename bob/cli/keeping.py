"""The flags of the commands that look after what there is: datasets, cache, doctor."""

import argparse
from pathlib import Path

from bob.cli.places import add_places
from bob.cli.quantities import at_least_one, period, size


def add_datasets(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "show: what an entry says. check: open, count, look for images in two splits. prefetch: download now. "
        "verify: count what is here, without a network. disk: what it takes. remove: delete what was downloaded. page: docs/dataset_table.md."
    )
    parser.add_argument(
        "what", choices=("show", "check", "prefetch", "verify", "disk", "remove", "page")
    )
    parser.add_argument(
        "names",
        nargs="?",
        default="all",
        help="names, globs, groups such as group:vtab, 'all'; separated by commas (default: all)",
    )
    parser.add_argument(
        "--images",
        action="store_true",
        help="check: decode every image, for unreadable and nearly identical ones",
    )
    parser.add_argument(
        "--yes", action="store_true", help="remove: do it; prefetch: do not ask first"
    )
    parser.add_argument("--offline", action="store_true", help="use no network")
    parser.add_argument(
        "--workers",
        metavar="N",
        type=at_least_one,
        default=4,
        help="check --images: decoding threads (default: 4)",
    )
    add_places(parser)
    parser.set_defaults(act=_datasets)


def add_cache(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "show: whose features are here. verify: read them all. prune: remove by age or size, the longest unused first. "
        "move: to another folder. What a running process uses is never removed."
    )
    parser.add_argument(
        "what", choices=("show", "verify", "prune", "move"), nargs="?", default="show"
    )
    parser.add_argument(
        "--older-than",
        metavar="TIME",
        type=period,
        help="prune: unused for longer than 12h, 30d, 8w",
    )
    parser.add_argument("--max-size", metavar="SIZE", type=size, help="prune: down to 500M, 10G")
    parser.add_argument("--dry-run", action="store_true", help="prune: say what would go")
    parser.add_argument("--to", metavar="DIR", type=Path, help="move: another cache folder")
    parser.add_argument(
        "--cache-dir", metavar="DIR", type=Path, help="default: $BOB_CACHE, else ~/.cache/bob-bench"
    )
    parser.set_defaults(act=_cache)


def add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = "Checks entries of backbones without their weights; runs those whose weights are on this machine."
    parser.add_argument(
        "names",
        metavar="NAMES",
        nargs="?",
        default="all",
        help="names, globs, family:ssl, group:samples (default: all)",
    )
    parser.add_argument(
        "--download", action="store_true", help="fetch the weights and run every one"
    )
    parser.add_argument("--device", default="cpu", help="where they run (default: cpu)")
    add_places(parser)
    parser.set_defaults(act=_doctor)


def _datasets(arguments: argparse.Namespace) -> int:
    from bob.commands.datasets import datasets_command

    return datasets_command(arguments)


def _cache(arguments: argparse.Namespace) -> int:
    from bob.commands.cache import cache

    return cache(arguments)


def _doctor(arguments: argparse.Namespace) -> int:
    from bob.commands.doctor import doctor

    return doctor(arguments)
