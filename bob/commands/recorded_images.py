"""The images that a record was computed on, for the commands that show them."""

import argparse

from bob.commands.terminal import Terminal
from bob.datasets.content.images import DEFAULT_ALPHA
from bob.datasets.dataset import Dataset
from bob.datasets.open import limited, open_dataset
from bob.datasets.own import recorded_spec
from bob.errors import BobError, ConfigError
from bob.features.store import FeatureStore
from bob.io.paths import default_cache
from bob.pictures.view import View
from bob.records.record import Record
from bob.registry import load_registry


def view_of(terminal: Terminal, record: Record, arguments: argparse.Namespace) -> View:
    """Return the record with its images and stored features; without any, a note says why."""
    cache = arguments.cache_dir or default_cache()
    dataset = None
    try:
        dataset = _open_same_images(record, arguments)
    except BobError as error:
        terminal.note(f"no images: {error}")
    return View(record, dataset, FeatureStore(cache / "features"), terminal.note)


def why_nothing_is_kept(record: Record) -> str:
    """Return why a record of a dense task keeps no predictions of images to show."""
    if record.task.settings.get("windows") == "center":
        return "pages show whole images, and its task scores centred squares (windows: center)."
    return f"another version made record {record.key[:16]}: run its cell again."


def _open_same_images(record: Record, arguments: argparse.Namespace) -> Dataset:
    """Open the dataset of the record. ConfigError if its images are not those of the record."""
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    own = recorded_spec(record, arguments.data)
    spec = own or registry.datasets.get(record.dataset_name)
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
