"""`bob-bench compare`: paired tests of two backbones, and the images on which they differ.

Does not import torch.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bob.commands.recorded_images import view_of, why_nothing_is_kept
from bob.commands.terminal import Terminal
from bob.errors import OK, ConfigError, NotApplicableError
from bob.io.files import write_atomically
from bob.leaderboards.cells import column_of
from bob.leaderboards.gather import GatheredRecords, gather_selection
from bob.leaderboards.learning_curves import forecasts
from bob.leaderboards.pairwise import Comparison, PairedComparison, compare_records
from bob.leaderboards.render.comparison import (
    comparison_rows,
    comparison_sentences,
    comparison_table,
    complementarity_sentence,
    complementarity_table,
    difference_sentence,
    overall_row,
)
from bob.leaderboards.render.forecast import forecast_row, forecast_sentence
from bob.leaderboards.render.record_text import headline_text
from bob.outcomes import ClassPredictions
from bob.pictures.comparison import comparison_sections
from bob.pictures.dense import dense_sections_of
from bob.pictures.example_pairs import example_pair, pair_sections
from bob.pictures.page import to_page
from bob.pictures.view import Sections, View
from bob.records.image_pages import page_of_comparison
from bob.records.record import Record
from bob.records.store import RecordStore


def run(arguments: argparse.Namespace) -> int:
    """Compare two backbones in every setting in which both have a value, and over all of them.

    ConfigError if one of them has no records, or if they share no setting.
    """
    gathered, selected = gather_selection(
        arguments.results, arguments.tasks, arguments.datasets, arguments.data
    )
    if arguments.json and arguments.images:
        raise ConfigError("--json prints the comparison, and --images writes pages: give one.")
    comparison = compare_records(arguments.a, arguments.b, selected, gathered.per_example)
    terminal = Terminal()
    for problem in gathered.problems:
        terminal.note(problem)
    later = list(forecasts(comparison, selected, gathered.outcomes))
    if arguments.json:
        values = {
            **comparison_json(comparison),
            "more_train_images": [forecast_row(*each) for each in later],
        }
        terminal.write_line(json.dumps(values, indent=1))
        return OK
    print_comparison(terminal, comparison)
    for each in later:
        terminal.print(forecast_sentence(*each))
    if arguments.images:
        for setting in comparison.per_setting:
            _write_images(terminal, comparison, setting, selected, gathered, arguments)
    return OK


def _write_images(
    terminal: Terminal,
    comparison: Comparison,
    setting: PairedComparison,
    records: Sequence[Record],
    gathered: GatheredRecords,
    arguments: argparse.Namespace,
) -> None:
    """Write the page of one setting, or print why there is none."""
    a, b = (_record_of(name, setting, records) for name in (comparison.a, comparison.b))
    try:
        sections_of = _sections_of(a, b, gathered, RecordStore(arguments.results))
    except NotApplicableError as error:
        terminal.note(f"{setting.column}: no images, as {error}")
        return
    view = view_of(terminal, a, arguments)
    facts = [f"{letter}: {headline_text(record)}" for letter, record in (("A", a), ("B", b))]
    if max(len(a.seeds), len(b.seeds)) > 1:
        facts.append("The images are those of the first seed of each.")
    title = f"{comparison.a} (A) and {comparison.b} (B): {view.scope}"
    page = to_page(title, [*facts, difference_sentence(setting)], list(sections_of(view)))
    path = page_of_comparison(arguments.results, a, b)
    write_atomically(path, page.encode())
    terminal.write_line(f"written: {path} ({setting.column})")


def _sections_of(
    a: Record, b: Record, gathered: GatheredRecords, store: RecordStore
) -> Callable[[View], Sections]:
    """Return a function from a view to the sections of two records.

    NotApplicableError where they have no images to compare.
    """
    first, second = (next(iter(gathered.outcomes(record)), None) for record in (a, b))
    if isinstance(first, ClassPredictions) and isinstance(second, ClassPredictions):
        if not np.array_equal(first.y, second.y):
            raise NotApplicableError("the test images are not the same.")
        pair = first, second
        return lambda view: comparison_sections(a.backbone_name, b.backbone_name, pair, view)
    if (examples := example_pair(first, second)) is not None:
        return lambda view: pair_sections(examples, a.backbone_name, b.backbone_name, view)
    if type(first) is type(second) and (dense := dense_sections_of(first)):
        shown = [(label, store.shown_arrays(record)) for label, record in (("A", a), ("B", b))]
        for record, (_, arrays) in zip((a, b), shown, strict=True):
            if not arrays:
                raise NotApplicableError(why_nothing_is_kept(record))
        return lambda view: dense(shown, view)
    raise NotApplicableError("these are not results of single images that could be shown.")


def _record_of(name: str, setting: PairedComparison, records: Sequence[Record]) -> Record:
    """Return the record of a backbone in a setting."""
    return next(
        record
        for record in records
        if record.backbone_name == name and column_of(record) == setting.column
    )


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
