"""Where things lie: flags that most commands share."""

import argparse
from pathlib import Path


def add_places(parser: argparse.ArgumentParser) -> None:
    places = parser.add_argument_group("places")
    places.add_argument(
        "--registry",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="more backbones, as backbones.yaml; repeatable",
    )
    places.add_argument(
        "--allow-code",
        action="store_true",
        help="let backbones with loader python run the code that they name",
    )
    places.add_argument(
        "--tasks-dir",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="more tasks and datasets, as tasks/; repeatable",
    )
    places.add_argument(
        "--results",
        metavar="DIR",
        type=Path,
        default=Path("results"),
        help="records and leaderboard (default: results)",
    )
    places.add_argument(
        "--cache-dir",
        metavar="DIR",
        type=Path,
        help="features (default: $BOB_CACHE, else ~/.cache/bob-bench)",
    )
