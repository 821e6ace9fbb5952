"""`bob-bench show RECORD`: a record whole, and with `--images` down to the images that it got wrong. Loads no torch."""

import argparse
import io
import sys

from PIL import Image

from bob.datasets.dataset import Dataset
from bob.datasets.open import limited, open_dataset, spec_from_data_flag
from bob.errors import OK, BobError, ConfigError
from bob.features.store import FeatureStore
from bob.io.files import write_atomically
from bob.io.paths import default_cache
from bob.leaderboard.per_example import outcomes
from bob.outcomes import ClassPredictions
from bob.outcomes.retrieval import RetrievalResults
from bob.pictures.record_sheets import Sheets, View, of_classifier, of_retrieval
from bob.records.record import Record
from bob.records.store import RecordStore
from bob.registry import load_registry


def run(arguments: argparse.Namespace) -> int:
    """The record whose key begins as given, as JSON; or its picture sheets."""
    record_store = RecordStore(arguments.results)
    record = find(record_store, arguments.record)
    if not arguments.images:
        sys.stdout.write(record.model_dump_json(indent=1) + "\n")
        return OK
    folder = arguments.results / "sheets" / record.key[:16]
    for name, image in _sheets(record, record_store, arguments):
        write_atomically(folder / f"{name}.png", _png(image))
        sys.stdout.write(f"written: {folder / name}.png\n")
    return OK


def find(record_store: RecordStore, key: str) -> Record:
    """The one record whose key begins so."""
    found = [record for record in record_store.read_all()[0] if record.key.startswith(key)]
    if len(found) != 1:
        several = ": " + ", ".join(record.key for record in found[:5]) if found else ""
        raise ConfigError(
            f"{len(found)} records have a key that begins with {key!r}{several}; see `bob-bench list records`."
        )
    return found[0]


def _sheets(record: Record, record_store: RecordStore, arguments: argparse.Namespace) -> Sheets:
    held = outcomes(record, record_store.headline_arrays(record))
    if not held or not isinstance(held[0], ClassPredictions | RetrievalResults):
        raise ConfigError(
            f"record {record.key[:16]} ({record.task.name} on {record.dataset_name}, {record.status}) has no per-example results of a classifier "
            "or of retrieval, which picture sheets are made from."
        )
    view = View(
        record,
        _dataset(record, arguments),
        FeatureStore((arguments.cache_dir or default_cache()) / "features"),
    )
    return (
        of_classifier(held[0], view)
        if isinstance(held[0], ClassPredictions)
        else of_retrieval(held[0], view)
    )


def _dataset(record: Record, arguments: argparse.Namespace) -> Dataset | None:
    """The record's images where they are at hand and are the same ones; otherwise None, and why on standard error."""
    try:
        return _same_images(record, arguments)
    except BobError as error:
        sys.stderr.write(f"note: no images: {error}\n")
        return None


def _same_images(record: Record, arguments: argparse.Namespace) -> Dataset:
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    given = {spec.name: spec for spec in map(spec_from_data_flag, arguments.data)}
    spec = given.get(record.dataset_name) or registry.datasets.get(record.dataset_name)
    if spec is None or record.dataset is None:
        raise ConfigError(
            f"dataset {record.dataset_name!r} is not in the registry; give its folder or table with --data PATH."
        )
    dataset = open_dataset(
        spec, arguments.cache_dir or default_cache(), offline=True, entries=registry.datasets
    )
    whole = dataset if record.dataset.limit is None else limited(dataset, record.dataset.limit)
    for candidate in (whole, whole.with_shifts(())):
        if candidate.fingerprint() == record.dataset.fingerprint:
            return candidate
    raise ConfigError(
        f"the images of dataset {record.dataset_name!r} that are here are not those of the record."
    )


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
