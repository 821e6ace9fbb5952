"""The registry entry of your own images, derived from the path that `--data` names."""

from collections.abc import Iterable

from pydantic import ValidationError

from bob.datasets.own_layouts import source_of
from bob.datasets.own_names import NO_OPTIONS, own_dataset_name
from bob.datasets.readers.local_copy import is_saved
from bob.errors import ConfigError
from bob.io.names import printable
from bob.io.paths import user_path
from bob.records.record import Record
from bob.specs import DataOptions, DatasetSpec

_ENTRY_KEYS = frozenset({"normal", "train", "val", "test", "shift", "group", "retrieve"})
"""Options that are also keys of an entry."""


def spec_from_data_flag(path: str, options: DataOptions = NO_OPTIONS) -> DatasetSpec:
    """Return the entry for `--data FOLDER`, `--data table.csv` or `--data images.parquet`.

    `bob.datasets.own_names` says how it is named.
    """
    place = user_path(path).absolute()
    if printable(str(place)) != str(place):
        raise ConfigError(
            f"--data {printable(path)!r}: the path is not UTF-8, so that records cannot hold it. "
            "Rename the folder, or give a link to it."
        )
    if not place.exists():
        raise ConfigError(f"--data {path!r}: no such file or folder. Check the path.")
    source, kind, options = source_of(path, place, options)
    stated = options.stated()
    values = {
        "name": own_dataset_name(path, options),
        "source": source,
        "kind": kind,
        "test_split": None if is_saved(place) else options.test_split,
        **{key: stated[key] for key in _ENTRY_KEYS & stated.keys()},
    }
    if kind == "classification":
        del values["kind"]
    if stated:
        values["options"] = options
    try:
        return DatasetSpec.model_validate(values)
    except ValidationError as error:
        problem = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise ConfigError(f"--data {path!r}: {problem}.") from error


def place_of(path: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return what identifies the images of `--data PATH`, however the path is spelled.

    It is the device and inode of the folder, twice. For a table it is those of the file, then those
    of the folder to which its paths are relative.
    """
    place = user_path(path)
    folder = place if place.is_dir() else place.absolute().parent
    own, read_from = place.stat(), folder.stat()
    return (own.st_dev, own.st_ino), (read_from.st_dev, read_from.st_ino)


def recorded_options(record: Record) -> DataOptions:
    """Return the options of `--data` with which a record was computed.

    ConfigError if they were recorded by a version with other options.
    """
    stated = record.dataset.split_origin.get("options") if record.dataset else None
    try:
        return DataOptions.model_validate(stated or {})
    except ValidationError as error:
        raise ConfigError(
            f"record {record.key[:16]}: its options of --data are not those of this version; got "
            f"{stated!r}. Run the cell again."
        ) from error


def recorded_spec(record: Record, paths: Iterable[str]) -> DatasetSpec | None:
    """Return the entry of the path whose images a record was computed on; None if none of them."""
    options = recorded_options(record)
    for path in paths:
        if own_dataset_name(path, options) == record.dataset_name:
            return spec_from_data_flag(path, options)
    return None
