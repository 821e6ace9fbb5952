"""Arguments of `bob-bench doctor`."""

import argparse
from pathlib import Path

from bob.cli.shared_flags import add_registries_and_folders

HELP = "check registry entries of backbones, or write the entry of a checkpoint"
DESCRIPTION = (
    "Check registry entries of backbones: documentation, names, and whether the architecture "
    "builds as declared. Backbones whose weights are on this machine are also run. For a file of "
    "weights, or a folder that save_pretrained wrote, write the entry: the layout of the file is "
    "found by loading it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "names",
        metavar="NAMES",
        nargs="?",
        default="all",
        help="names, globs, groups such as family:ssl or group:samples, or 'all', separated by "
        "commas; or the path of a checkpoint to write an entry for (default: all)",
    )
    _add_entry(parser)
    parser.add_argument(
        "--download",
        action="store_true",
        help="download missing weights and run every backbone (default: run those on this machine)",
    )
    parser.add_argument("--device", default="cpu", help="device of the runs (default: cpu)")
    add_registries_and_folders(parser)


def _add_entry(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("entry of a checkpoint")
    group.add_argument(
        "--architecture",
        metavar="NAME",
        help="network of the checkpoint: a name of timm, or torchvision:NAME (default: that of the "
        "folder's config.json)",
    )
    group.add_argument(
        "--name", help="name of the entry (default: that of the file or folder, without ending)"
    )
    group.add_argument(
        "--family",
        choices=("supervised", "ssl", "clip", "domain"),
        default="domain",
        help="family of the backbone (default: domain)",
    )
    group.add_argument(
        "--output",
        metavar="TEXT",
        help="what is read, such as cls or mean_patch (default: the first of default, cls and "
        "mean_patch that the network has)",
    )
    group.add_argument(
        "--to",
        metavar="FILE",
        type=Path,
        help="registry file to write the entry to, or to add it to (default: print it)",
    )
