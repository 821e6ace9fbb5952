"""`bob-bench recommend` and `bob-bench compare`: the leaderboard's answers in the terminal, or as JSON. Loads no torch."""

import argparse
import dataclasses
import json
from typing import Any

from bob.commands.terminal import Terminal
from bob.errors import OK, ConfigError, nearest
from bob.leaderboard.cells import cells, comparable
from bob.leaderboard.gather import gather_selection
from bob.leaderboard.pairwise import Comparison, compare
from bob.leaderboard.render.comparison import comparison_sentences, comparison_table, verdict_text


def run(arguments: argparse.Namespace) -> int:
    """Paired tests of two backbones, setting by setting and over all."""
    gathered, records = gather_selection(
        arguments.results, arguments.tasks, arguments.datasets, arguments.data
    )
    kept, _ = comparable(records)
    names = sorted({record.backbone_name for record in kept})
    for name in (arguments.a, arguments.b):
        if name not in names:
            raise ConfigError(
                f"no records of backbone {name!r}{nearest(name, names)} There are records of: {', '.join(names)}."
            )
    if arguments.a == arguments.b:
        raise ConfigError(f"backbone {arguments.a!r} is given twice; name two.")
    found = compare(arguments.a, arguments.b, cells(kept), gathered.outcomes)
    if not found.duels:
        raise ConfigError(
            f"{found.a!r} and {found.b!r} share no setting in which both have a value."
        )
    terminal = Terminal()
    if arguments.json:
        terminal.write_line(json.dumps(comparison_json(found), indent=1))
    else:
        terminal.render(comparison_table(found))
        for sentence in comparison_sentences(found):
            terminal.print(sentence)
    return OK


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Every duel and the overall difference, as plain values; differences are a minus b."""
    duels = [
        {
            "task": duel.column.task,
            "dataset": duel.column.dataset,
            "metric": duel.metric,
            "a": duel.a,
            "b": duel.b,
            "p_holm": duel.p,
        }
        | {
            "difference": duel.difference._asdict() if duel.difference else None,
            "verdict": verdict_text(duel, found.a, found.b),
        }
        for duel in found.duels
    ]
    return {
        "a": found.a,
        "b": found.b,
        "settings": duels,
        "overall": dataclasses.asdict(found.overall) if found.overall else None,
    }
