"""Arguments of `bob-bench list`."""

import argparse

from bob.cli.shared_flags import add_json, add_registries_and_folders

HELP = "list backbones, tasks, datasets or records"
DESCRIPTION = (
    "List backbones, tasks, datasets or records, one per line. For backbones and datasets that "
    "are not on this machine, the line says how to obtain them."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "kind", choices=("backbones", "tasks", "datasets", "records"), help="what to list"
    )
    add_json(parser, "all fields")
    add_registries_and_folders(parser)
