"""`bob-bench prerank`: a predicted order of backbones that have no record."""

import argparse
import json
from dataclasses import asdict

import pandas as pd

from bob.commands.arguments import require_output_file
from bob.commands.terminal import Terminal
from bob.errors import OK
from bob.io.files import write_output
from bob.leaderboards.column_roles import parse_roles
from bob.leaderboards.gather import gather_selection, read_tables
from bob.leaderboards.prerank import parse_matches, prerank, published_scores
from bob.leaderboards.render.csv_text import csv_text
from bob.leaderboards.render.prerank import errors_table, order_table, prerank_sentences
from bob.registry import load_registry


def run(arguments: argparse.Namespace) -> int:
    """Print the predicted order, and how wrong such orders were on the tables.

    ConfigError where the tables or records do not suffice.
    """
    require_output_file("--to", arguments.to, (*arguments.external, *arguments.data))
    specs = load_registry(arguments.registry, arguments.tasks_dir).backbones
    tables, notes = read_tables(arguments.external, parse_roles(arguments.external_column))
    published = published_scores(tables, specs, parse_matches(arguments.match))
    gathered, records = gather_selection(
        arguments.results, arguments.tasks, arguments.datasets, arguments.data
    )
    result = prerank(published, records, specs)
    terminal = Terminal()
    for note in (*gathered.problems, *notes):
        terminal.note(note)
    if published.left_out:
        terminal.note(f"columns left out: {', '.join(published.left_out)}")
    if arguments.json:
        terminal.write_line(json.dumps(asdict(result), indent=1))
    else:
        terminal.render(order_table(result))
        terminal.render(errors_table(result))
        for sentence in prerank_sentences(result):
            terminal.print(sentence)
    if arguments.to is not None:
        frame = pd.DataFrame([asdict(backbone) for backbone in result.order])
        write_output(arguments.to, csv_text(frame).encode())
        terminal.print_written([arguments.to])
    return OK
