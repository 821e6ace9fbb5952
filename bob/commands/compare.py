"""`bob-bench compare`: paired tests of two backbones. Does not import torch."""

import argparse
import dataclasses
import json
from typing import Any

from bob.commands.terminal import Terminal
from bob.errors import OK, ConfigError, nearest
from bob.leaderboards.cells import board_cells, comparable
from bob.leaderboards.gather import gather_selection
from bob.leaderboards.pairwise import Comparison, compare
from bob.leaderboards.render.comparison import comparison_sentences, comparison_table, verdict_text


def run(arguments: argparse.Namespace) -> int:
    """Compare two backbones in every setting in which both have a value, and over all of them.

    ConfigError if one of them has no records, or if they share no setting.
    """
    gathered, selected = gather_selection(
        arguments.results, arguments.tasks, arguments.datasets, arguments.data
    )
    records, _ = comparable(selected)
    names = sorted({record.backbone_name for record in records})
    for name in (arguments.a, arguments.b):
        if name not in names:
            raise ConfigError(
                f"no records of backbone {name!r}{nearest(name, names)} "
                f"Backbones with records: {', '.join(names)}."
            )
    if arguments.a == arguments.b:
        raise ConfigError(f"backbone {arguments.a!r} is given twice; name two.")
    comparison = compare(arguments.a, arguments.b, board_cells(records), gathered.outcomes)
    if not comparison.per_setting:
        raise ConfigError(
            f"{arguments.a!r} and {arguments.b!r} share no setting in which both have a value."
        )
    terminal = Terminal()
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


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values; differences are a minus b."""
    settings = [
        {
            "task": pair.column.task,
            "dataset": pair.column.dataset,
            "metric": pair.metric,
            "a": pair.a,
            "b": pair.b,
            "p_holm": pair.p,
            "difference": pair.difference._asdict() if pair.difference else None,
            "verdict": verdict_text(pair, comparison.a, comparison.b),
        }
        for pair in comparison.per_setting
    ]
    return {
        "a": comparison.a,
        "b": comparison.b,
        "settings": settings,
        "overall": dataclasses.asdict(comparison.overall) if comparison.overall else None,
    }
