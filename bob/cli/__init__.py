"""The command line `bob-bench`: parsing of arguments, and the exit code of the command.

A command's module is imported when the command runs, so that `--help` and `list` start fast.
"""

import atexit
import errno
import gc
import importlib
import os
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from bob.cli.parser import build_parser
from bob.errors import INTERRUPTED, OK, USAGE, BobError
from bob.io.encodings import allow_any_encoding
from bob.io.garbage import collector_paused
from bob.io.text import visible
from bob.io.waiting import wait_passively

LEAST_SIZE, MOST_SIZE = 20, 10_000
"""Columns or lines of a terminal within which tables can be laid out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bob-bench` with the given arguments, by default those of the process.

    Returns the exit code. A `BobError` is printed without a traceback.
    """
    atexit.register(gc.freeze)  # the interpreter's end would look through all objects: 1 s
    _replace_closed_streams()
    allow_any_encoding(sys.stdout, sys.stderr)
    bound_terminal_size(os.environ)
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        arguments.parser.reject(unknown)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    wait_passively(os.environ)
    try:
        with collector_paused():
            command = importlib.import_module(f"bob.commands.{arguments.command}")
        code: int = command.run(arguments)
        sys.stdout.flush()
        return code
    except BobError as error:
        print(visible(f"error: {error}"), file=sys.stderr)  # noqa: T201 (the terminal may not be loaded)
        return USAGE
    except KeyboardInterrupt:
        message = "interrupted; run the same command again to resume"
        print(f"\n{message}", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left to write
        message = "error: the output cannot be written: the disk is full."
        print(message, file=sys.stderr)  # noqa: T201
        return USAGE


def _replace_closed_streams() -> None:
    """Let a process without an output or error stream write nowhere, instead of failing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def bound_terminal_size(environment: MutableMapping[str, str]) -> None:
    """Limit the stated size of the terminal, and remove what is no number of columns or lines.

    Libraries convert the text to an integer, and lay out tables as wide as that.
    """
    for name in {"COLUMNS", "LINES"} & environment.keys():
        text = environment[name].lstrip("0")
        if text.isascii() and text.isdigit():
            size = int(text[: len(str(MOST_SIZE))])
            environment[name] = str(min(max(size, LEAST_SIZE), MOST_SIZE))
        else:
            del environment[name]


def run_benchmark(argv: Sequence[str] | None = None) -> int:
    """Run `bob-bench run` with the given arguments, by default those of the process."""
    return main(["run", *(sys.argv[1:] if argv is None else argv)])
