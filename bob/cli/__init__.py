"""The command line. Nothing heavy is imported before it is needed: `--help` and `list` answer at once."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from bob import __version__
from bob.cli.answering import add_compare, add_leaderboard, add_list, add_recommend, add_show
from bob.cli.computing import add_evaluate, add_features, add_run
from bob.cli.keeping import add_cache, add_datasets, add_doctor
from bob.errors import INTERRUPTED, OK, USAGE, BobError


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
        self.exit(
            USAGE,
            f"error: {message}{'' if message.endswith(('.', '?')) else '.'} `{self.prog} --help` shows what there is.\n",
        )

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Words that the command does not know, with the nearest flag that it does."""
        from bob.errors import nearest

        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        word = unknown[0].partition("=")[0]
        self.error(
            f"unrecognized arguments: {' '.join(unknown)}{nearest(word, flags) if word.startswith('-') else '.'}"
        )


def _parser() -> _Parser:
    parser = _Parser(
        prog="bob-bench",
        description="Which pretrained vision backbone should I use?",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bob-bench {__version__}")
    parser.set_defaults(act=lambda _: _say_commands(parser), command=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_run(
        commands.add_parser(
            "run", help="run tasks on backbones and update the leaderboard", allow_abbrev=False
        )
    )
    add_evaluate(
        commands.add_parser(
            "evaluate",
            help="features that you have already: run tasks on files of them",
            allow_abbrev=False,
        )
    )
    add_features(
        commands.add_parser(
            "features", help="write a backbone's stored features to a file", allow_abbrev=False
        )
    )
    add_list(
        commands.add_parser(
            "list", help="what there is: backbones, tasks, datasets, records", allow_abbrev=False
        )
    )
    add_leaderboard(
        commands.add_parser(
            "leaderboard", help="write the leaderboard from the records", allow_abbrev=False
        )
    )
    add_recommend(
        commands.add_parser(
            "recommend", help="which backbone should I use, within limits", allow_abbrev=False
        )
    )
    add_compare(
        commands.add_parser(
            "compare", help="is one backbone better than another? paired tests", allow_abbrev=False
        )
    )
    add_show(
        commands.add_parser(
            "show", help="where one number comes from: a record, whole", allow_abbrev=False
        )
    )
    add_datasets(
        commands.add_parser(
            "datasets", help="a dataset's facts, checks, downloads, disk use", allow_abbrev=False
        )
    )
    add_cache(
        commands.add_parser(
            "cache", help="stored features: show, verify, prune, move", allow_abbrev=False
        )
    )
    add_doctor(
        commands.add_parser(
            "doctor",
            help="is a backbone's entry right, does it build, does it run",
            allow_abbrev=False,
        )
    )
    for command in commands.choices.values():
        command.set_defaults(command=command)
    return parser


def _say_commands(parser: _Parser) -> int:
    """No command was given: what there is, as an error."""
    parser.print_help(sys.stderr)
    return USAGE
