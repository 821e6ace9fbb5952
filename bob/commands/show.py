"""`bob-bench show`: a record as text or JSON, or a page of the images behind its scores.

Does not import torch, except for similarities of features.
"""

import argparse
from collections.abc import Callable
from typing import Any

from bob.commands.recorded_images import view_of, why_nothing_is_kept
from bob.commands.terminal import Terminal
from bob.datasets.own import recorded_spec
from bob.errors import OK, ConfigError, NotApplicableError
from bob.io.files import write_atomically
from bob.leaderboards.per_example import headline_outcomes
from bob.leaderboards.render.record_text import headline_text, notes_of, record_lines
from bob.outcomes import ClassPredictions
from bob.outcomes.retrieval import RetrievalResults
from bob.pictures.classifier import classifier_sections
from bob.pictures.dense import dense_sections_of
from bob.pictures.examples import ShownArrays
from bob.pictures.page import to_page
from bob.pictures.view import Sections, View
from bob.records.image_pages import page_of_record
from bob.records.record import Record
from bob.records.store import RecordStore


def run(arguments: argparse.Namespace) -> int:
    """Print the record with this key or these first characters of it, or write its images."""
    terminal = Terminal()
    record_store = RecordStore(arguments.results)
    record = record_store.with_prefix(
        arguments.record, lambda record: recorded_spec(record, arguments.data) is not None
    )
    if arguments.json and arguments.images:
        raise ConfigError("--json prints the record, and --images writes a page: give one of them.")
    if arguments.json:
        terminal.write_line(record.model_dump_json(indent=1))
    elif arguments.images:
        _write_images(terminal, record, record_store, arguments)
    else:
        _print_record(terminal, record)
    return OK


def _print_record(terminal: Terminal, record: Record) -> None:
    for line in record_lines(record):
        terminal.print_indented(line)
    for note in notes_of(record):
        terminal.note(note)


def _write_images(
    terminal: Terminal, record: Record, record_store: RecordStore, arguments: argparse.Namespace
) -> None:
    """Write the page of a record of a classifier, of retrieval or of a dense task."""
    outcomes = headline_outcomes(record, record_store.headline_arrays(record))
    first = next(iter(outcomes), None)
    try:
        sections_of = _sections_of(record, first, record_store.shown_arrays(record))
    except NotApplicableError as error:
        raise ConfigError(
            f"record {record.key[:16]} ({record.task.name} on {record.dataset_name}, "
            f"{record.status}) has {error}"
        ) from error
    view = view_of(terminal, record, arguments)
    sections = list(sections_of(view))
    if not sections:
        terminal.note("no page is written: there is nothing to show.")
        return
    title = f"{record.backbone_name}: {view.scope}"
    facts = [f"{headline_text(record)}. Record {record.key[:16]}."]
    if len(outcomes) > 1:
        facts.append(f"The images are those of the first of {len(outcomes)} seeds.")
    path = page_of_record(arguments.results, record)
    write_atomically(path, to_page(title, facts, sections).encode())
    terminal.write_line(f"written: {path}")


def _sections_of(record: Record, outcome: Any, shown: ShownArrays) -> Callable[[View], Sections]:
    """Return a function from a view to the sections of an outcome of a record.

    NotApplicableError, with what is missing, where it has no images to show.
    """
    if isinstance(outcome, ClassPredictions):
        return lambda view: classifier_sections(outcome, view)
    if isinstance(outcome, RetrievalResults):
        from bob.pictures.retrieval import retrieval_sections

        return lambda view: retrieval_sections(outcome, view)
    if (dense := dense_sections_of(outcome)) is None:
        raise NotApplicableError(
            "no per-example results of a classifier, of retrieval or of a dense task, whose images "
            "could be shown."
        )
    if not shown:
        raise NotApplicableError(
            f"no predictions of a sample of images, as {why_nothing_is_kept(record)}"
        )
    return lambda view: dense([("", shown)], view)
