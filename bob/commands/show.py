"""`bob-bench show`: a record as text or JSON, or sheets of the images behind its scores.

Does not import torch.
"""

import argparse
import io

from PIL import Image

from bob.commands.terminal import Terminal
from bob.datasets.content.images import DEFAULT_ALPHA
from bob.datasets.dataset import Dataset
from bob.datasets.open import limited, open_dataset
from bob.datasets.own import recorded_options, spec_from_data_flag
from bob.errors import OK, BobError, ConfigError
from bob.features.store import FeatureStore
from bob.io.files import write_atomically
from bob.io.paths import default_cache
from bob.leaderboards.per_example import headline_outcomes
from bob.leaderboards.render.record_text import notes_of, record_lines
from bob.outcomes import ClassPredictions
from bob.outcomes.retrieval import RetrievalResults
from bob.pictures.record_sheets import Sheets, View, classifier_sheets, retrieval_sheets
from bob.records.record import Record
from bob.records.store import RecordStore
from bob.registry import load_registry


def run(arguments: argparse.Namespace) -> int:
    """Print the record with this key or these first characters of it, or write its sheets."""
    terminal = Terminal()
    record_store = RecordStore(arguments.results)
    record = record_store.with_prefix(arguments.record)
    if arguments.json and arguments.images:
        raise ConfigError("--json prints the record, and --images writes sheets: give one of them.")
    if arguments.json:
        terminal.write_line(record.model_dump_json(indent=1))
        return OK
    if not arguments.images:
        _print_record(terminal, record)
        return OK
    folder = arguments.results / "sheets" / record.key[:16]
    for name, image in _sheets(terminal, record, record_store, arguments):
        path = folder / f"{name}.png"
        write_atomically(path, _png(image))
        terminal.write_line(f"written: {path}")
    return OK


def _print_record(terminal: Terminal, record: Record) -> None:
    for line in record_lines(record):
        terminal.print_indented(line)
    for note in notes_of(record):
        terminal.note(note)


def _sheets(
    terminal: Terminal, record: Record, record_store: RecordStore, arguments: argparse.Namespace
) -> Sheets:
    """Yield the sheets of a record of a classifier or of retrieval, by name."""
    first = next(iter(headline_outcomes(record, record_store.headline_arrays(record))), None)
    if not isinstance(first, ClassPredictions | RetrievalResults):
        raise ConfigError(
            f"record {record.key[:16]} ({record.task.name} on {record.dataset_name}, "
            f"{record.status}) has no per-example results of a classifier or of retrieval, "
            "from which sheets are made."
        )
    view = View(
        record,
        _dataset(terminal, record, arguments),
        FeatureStore((arguments.cache_dir or default_cache()) / "features"),
        terminal.note,
    )
    if isinstance(first, ClassPredictions):
        return classifier_sheets(first, view)
    return retrieval_sheets(first, view)


def _dataset(terminal: Terminal, record: Record, arguments: argparse.Namespace) -> Dataset | None:
    """Return the images of the record, or None after a note on why they are unavailable."""
    try:
        return _open_same_images(record, arguments)
    except BobError as error:
        terminal.note(f"no images: {error}")
        return None


def _open_same_images(record: Record, arguments: argparse.Namespace) -> Dataset:
    """Open the dataset of the record. ConfigError if its images are not those of the record."""
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    specs = (spec_from_data_flag(path, recorded_options(record)) for path in arguments.data)
    local = {spec.name: spec for spec in specs}
    spec = local.get(record.dataset_name) or registry.datasets.get(record.dataset_name)
    if spec is None or record.dataset is None:
        raise ConfigError(
            f"dataset {record.dataset_name!r} is not in the registry; "
            "give its folder or table with --data PATH."
        )
    dataset = open_dataset(
        spec,
        arguments.cache_dir or default_cache(),
        offline=True,
        entries=registry.datasets,
        alpha=record.dataset.alpha or DEFAULT_ALPHA,
    )
    if record.dataset.limit is not None:
        dataset = limited(dataset, record.dataset.limit)
    for candidate in (dataset, dataset.with_shifts(())):
        if candidate.fingerprint() == record.dataset.fingerprint:
            return candidate
    raise ConfigError(
        f"the images of dataset {record.dataset_name!r} that are here are not those of the record."
    )


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
