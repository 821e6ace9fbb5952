"""`bob-bench compare`: paired tests of two backbones. Does not import torch."""

import argparse
import json
from typing import Any

from bob.commands.terminal import Terminal
from bob.errors import OK
from bob.leaderboards.gather import gather_selection
from bob.leaderboards.pairwise import Comparison, compare_records
from bob.leaderboards.render.comparison import (
    comparison_rows,
    comparison_sentences,
    comparison_table,
    complementarity_sentence,
    complementarity_table,
    overall_row,
)


def run(arguments: argparse.Namespace) -> int:
    """Compare two backbones in every setting in which both have a value, and over all of them.

    ConfigError if one of them has no records, or if they share no setting.
    """
    gathered, selected = gather_selection(
        arguments.results, arguments.tasks, arguments.datasets, arguments.data
    )
    comparison = compare_records(arguments.a, arguments.b, selected, gathered.per_example)
    terminal = Terminal()
    for problem in gathered.problems:
        terminal.note(problem)
    if arguments.json:
        terminal.write_line(json.dumps(comparison_json(comparison), indent=1))
    else:
        print_comparison(terminal, comparison)
    return OK


def print_comparison(terminal: Terminal, comparison: Comparison) -> None:
    """Print a comparison as a table and sentences."""
    terminal.render(comparison_table(comparison))
    for sentence in comparison_sentences(comparison):
        terminal.print(sentence)
    if (table := complementarity_table(comparison)) is not None:
        terminal.render(table)
        terminal.print(complementarity_sentence(comparison))


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values; differences are a minus b."""
    return {
        "a": comparison.a,
        "b": comparison.b,
        "settings": comparison_rows(comparison),
        "overall": overall_row(comparison),
    }
