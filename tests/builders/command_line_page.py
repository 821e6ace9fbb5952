"""The reference of the command line, from its parsers.

`python -m tests.builders.command_line_page` writes docs/reference/command_line.md; a test keeps it
up to date.
"""

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path

from bob.cli import parser as cli

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command_line.md"
WIDTH = 100
INTRODUCTION = """\
# Command line

This page is generated from the parsers by `python -m tests.builders.command_line_page`; a test
keeps it up to date. `bob-bench COMMAND --help` prints the same. `python run_benchmark.py` is
`bob-bench run`, and `python -m bob` is `bob-bench`.

**Names.** Where a command takes NAMES, they are names, globs such as `'efficientnet*'` (quoted, so
that the shell does not expand them), groups such as `family:ssl` or `group:vtab`, or `all`,
separated by commas.

**Exit codes.** 0: everything requested was done, or skipped with a reason. 1: a cell failed, or
something named exactly is unavailable. 2: the request itself is wrong. 130: interrupted by Ctrl-C.
"""


def command_line_page() -> str:
    """Return the reference of all commands as Markdown."""
    sections = [INTRODUCTION]
    for command in cli.COMMANDS:
        name = command.__name__.rpartition(".")[2]
        parser = argparse.ArgumentParser(prog=f"bob-bench {name}", add_help=False)
        command.add_arguments(parser)
        sections.append("\n".join(_section(name, command.DESCRIPTION, parser)))
    return "\n".join(sections)


def _section(name: str, description: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    positionals = [_positional(action) for action in parser._actions if not action.option_strings]
    yield f"## {name}\n"
    yield textwrap.fill(description, WIDTH) + "\n"
    yield f"```text\n{' '.join(['bob-bench', name, *positionals, '[options]'])}\n```\n"
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS]
        if not actions:
            continue
        title = group.title or ""
        text = f"**{title[:1].upper()}{title[1:]}.** {group.description or ''}"
        yield textwrap.fill(text, WIDTH) + "\n"
        yield "| argument | meaning |\n|---|---|"
        for action in actions:
            yield f"| {_argument(action)} | {_text(action)} |"
        yield ""


def _positional(action: argparse.Action) -> str:
    word = action.metavar if isinstance(action.metavar, str) else action.dest
    if action.choices:
        word = "{" + ",".join(map(str, action.choices)) + "}"
    return {"?": f"[{word}]", "*": f"[{word} ...]"}.get(str(action.nargs), word)


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    takes_value = action.nargs != 0
    value = f" {action.metavar or action.dest.upper()}" if takes_value else ""
    return f"`{', '.join(action.option_strings)}{'' if action.choices else value}`"


def _text(action: argparse.Action) -> str:
    text = str(action.help or "").replace("|", "\\|").replace("%%", "%").replace("*", "\\*")
    if action.choices and action.option_strings:
        text = f"one of {', '.join(f'`{choice}`' for choice in action.choices)}: {text}"
    return text


if __name__ == "__main__":
    PAGE.write_text(command_line_page(), encoding="utf-8")
