"""`bob-bench show`: a record as text or JSON, or a page of the images behind its scores.

Does not import torch, except for similarities of features.
"""

import argparse

from bob.commands.recorded_images import view_of
from bob.commands.terminal import Terminal
from bob.errors import OK, ConfigError
from bob.io.files import write_atomically
from bob.leaderboards.per_example import headline_outcomes
from bob.leaderboards.render.record_text import headline_text, notes_of, record_lines
from bob.outcomes import ClassPredictions, DepthErrors, PairHits, SegmentationCounts
from bob.outcomes.retrieval import RetrievalResults
from bob.pictures.classifier import classifier_sections
from bob.pictures.page import to_page
from bob.records.image_pages import page_of_record
from bob.records.record import Record
from bob.records.store import RecordStore


def run(arguments: argparse.Namespace) -> int:
    """Print the record with this key or these first characters of it, or write its images."""
    terminal = Terminal()
    record_store = RecordStore(arguments.results)
    record = record_store.with_prefix(arguments.record)
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
    """Write the page of a record of a classifier or of retrieval."""
    outcomes = headline_outcomes(record, record_store.headline_arrays(record))
    first = next(iter(outcomes), None)
    if not isinstance(first, ClassPredictions | RetrievalResults):
        where = (
            f"record {record.key[:16]} ({record.task.name} on {record.dataset_name}, "
            f"{record.status})"
        )
        if isinstance(first, SegmentationCounts | DepthErrors | PairHits):
            raise ConfigError(
                f"{where} holds counts or errors of each image and no predictions of pixels, which "
                "are not stored, so that they cannot be shown."
            )
        raise ConfigError(
            f"{where} has no per-example results of a classifier or of retrieval, whose images "
            "could be shown."
        )
    view = view_of(terminal, record, arguments)
    if isinstance(first, ClassPredictions):
        sections = list(classifier_sections(first, view))
    else:
        from bob.pictures.retrieval import retrieval_sections

        sections = list(retrieval_sections(first, view))
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
