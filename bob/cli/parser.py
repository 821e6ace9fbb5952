"""The argument parser of `bob-bench`, with one subparser per command."""

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from bob import __version__
from bob.cli import (
    cache,
    compare,
    datasets,
    doctor,
    evaluate,
    export,
    features,
    fuse,
    leaderboard,
    list,
    plan,
    predict,
    prerank,
    probe,
    race,
    rank,
    recommend,
    reproduce,
    run,
    show,
    similarity,
)
from bob.errors import USAGE, nearest

COMMANDS = (
    run,
    race,
    prerank,
    evaluate,
    features,
    list,
    leaderboard,
    recommend,
    compare,
    plan,
    fuse,
    similarity,
    rank,
    show,
    reproduce,
    probe,
    predict,
    export,
    datasets,
    cache,
    doctor,
)
"""One module per command, in the order of `bob-bench --help`. A module is named like its command
and has `HELP`, `DESCRIPTION` and `add_arguments(parser)`; `bob.commands` has its namesake."""


_CHOICE = re.compile(r"invalid choice: '(.+)' \(choose from (.+)\)")
"""argparse's message about a value that is none of the choices."""


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without the list of all flags."""

    def error(self, message: str) -> NoReturn:
        if wrong := _CHOICE.search(message):
            word, choices = wrong[1], [name.strip(" '") for name in wrong[2].split(",")]
            message += nearest(word, choices)
        end = "" if message.endswith((".", "?")) else "."
        self.exit(USAGE, f"error: {message}{end} Run `{self.prog} --help` for usage.\n")

    def reject(self, unknown: Sequence[str]) -> NoReturn:
        """Exit with an error about unknown arguments that suggests the most similar flag."""
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        word = unknown[0].partition("=")[0]
        suggestion = nearest(word, flags) if word.startswith("-") else "."
        self.error(f"unrecognized arguments: {' '.join(unknown)}{suggestion}")


def build_parser() -> Parser:
    """Return the parser.

    Parsed arguments hold the name of the command as `command`, None without one, and its subparser
    as `parser`.
    """
    parser = Parser(
        prog="bob-bench",
        description="Find out which pretrained vision backbone to use.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bob-bench {__version__}")
    parser.set_defaults(command=None, parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(
            name, help=module.HELP, description=module.DESCRIPTION, allow_abbrev=False
        )
        module.add_arguments(command)
        command.set_defaults(command=name, parser=command)
    return parser
