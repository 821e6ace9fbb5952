"""`bob-bench rank`: backbones in the order of descriptions of their features."""

import argparse
import json
from dataclasses import asdict

from bob.commands.terminal import Terminal
from bob.errors import OK, ConfigError
from bob.leaderboards.description_order import description_names, description_orders
from bob.leaderboards.gather import gather_selection
from bob.leaderboards.render.description_order import agreement_sentence, order_table


def run(arguments: argparse.Namespace) -> int:
    """Print each order with its agreement with the probe. ConfigError without descriptions."""
    names = description_names(arguments.by)
    gathered, records = gather_selection(
        arguments.results, None, arguments.datasets, arguments.data
    )
    orders = description_orders(records, names)
    if not orders:
        raise ConfigError(
            f"{arguments.results}: no backbone has {' or '.join(names)}; run the task diagnostics."
        )
    terminal = Terminal()
    for note in gathered.problems:
        terminal.note(note)
    if arguments.json:
        terminal.write_line(json.dumps([asdict(order) for order in orders], indent=1))
        return OK
    for order in orders:
        terminal.render(order_table(order))
        terminal.print(agreement_sentence(order))
    terminal.print("A description is no result: only a task's own records say which is best.")
    return OK
