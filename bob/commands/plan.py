"""`bob-bench plan`: how many images would tell two backbones apart.

Does not import torch.
"""

import argparse
import json

from bob.commands.terminal import Terminal
from bob.errors import OK
from bob.leaderboards.gather import gather_selection
from bob.leaderboards.learning_curves import forecasts
from bob.leaderboards.pairwise import compare_records
from bob.leaderboards.render.forecast import forecast_row, forecast_sentence
from bob.leaderboards.render.separation import (
    ASSUMPTION,
    NO_CURVES,
    separation_line,
    separation_row,
)


def run(arguments: argparse.Namespace) -> int:
    """Print the images that a decision between two backbones needs, setting by setting.

    ConfigError if one of them has no records, or if they share no setting.
    """
    gathered, selected = gather_selection(
        arguments.results, arguments.tasks, arguments.datasets, arguments.data
    )
    a, b = arguments.separate
    comparison = compare_records(a, b, selected, gathered.per_example)
    later = list(forecasts(comparison, selected, gathered.outcomes))
    terminal = Terminal()
    for problem in gathered.problems:
        terminal.note(problem)
    if arguments.json:
        values = {
            "a": comparison.a,
            "b": comparison.b,
            "test_images": [separation_row(pair) for pair in comparison.per_setting],
            "more_train_images": [forecast_row(*each) for each in later],
        }
        terminal.write_line(json.dumps(values, indent=1))
        return OK
    terminal.print(f"A: {comparison.a}; B: {comparison.b}")
    for pair in comparison.per_setting:
        terminal.print(separation_line(pair))
    terminal.print(ASSUMPTION)
    for each in later:
        terminal.print(forecast_sentence(*each))
    if not later:
        terminal.print(NO_CURVES)
    return OK
