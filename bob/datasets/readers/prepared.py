"""What the library `datasets` opens: hub repositories, which it downloads and prepares whole, and local copies.

A pinned hub revision that was prepared on this machine is opened without asking the hub. Without this rule the library would ask, and where the hub
cannot be reached silently take the copy that was prepared last, whatever its revision.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bob.datasets.availability import prepared_configs, prepared_folder
from bob.datasets.readers.repository import REMEDY, cached_hub_answer, check_prefix, hub_cache_file
from bob.errors import DatasetError, UnavailableError
from bob.io.hub import hub_reachable
from bob.io.paths import data_path
from bob.specs import RepositorySource

_SCRIPT = " Name a revision after its conversion to parquet, or another copy of the data."


def open_prepared(
    source: RepositorySource, config: str | None, where: str, offline: bool
) -> Mapping[str, Any]:
    """The splits of a config by name, as `datasets.Dataset`s."""
    import datasets

    if source.path is not None:
        return _local(data_path(source.path), config, where)
    if folder := prepared_folder(source, config):
        return _from_folder(folder)
    with library_errors(source, where), _offline(offline or not hub_reachable()):
        tables: Mapping[str, Any] = datasets.load_dataset(
            source.hub, config, revision=_revision(source, where, offline)
        )
    _check_revision(tables, source, where)
    return tables


def config_names(source: RepositorySource, where: str, offline: bool, cache: Path) -> list[str]:
    """The configs of a repository, or of a local copy that has a folder for each."""
    if source.path is not None:
        return sorted(path.name for path in data_path(source.path).iterdir() if path.is_dir())
    cut_off = offline or not hub_reachable()
    if cut_off and (names := prepared_configs(source)):
        return names

    def ask() -> dict[str, Any]:
        import datasets

        if cut_off:
            raise UnavailableError(
                f"{where}: not on this machine, and the hub cannot be reached. {REMEDY}"
            )
        with library_errors(source, where):
            return {
                "configs": datasets.get_dataset_config_names(
                    str(source.hub), revision=_revision(source, where, offline)
                )
            }

    memory = hub_cache_file(cache, source, "configs")
    found: list[str] = cached_hub_answer(
        memory, {"configs"}, ask, anew=not source.revision and not cut_off
    )["configs"]
    return found


@contextlib.contextmanager
def library_errors(source: RepositorySource, where: str) -> Iterator[None]:
    """The library's many errors as two: what cannot be had here, and what is wrong with the entry."""
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except DatasetError:
        raise
    except DatasetNotFoundError as error:
        raise UnavailableError(f"{where}: {_not_found(str(error), source)}") from error
    except (ValueError, RuntimeError) as error:  # an unknown config; a dataset that is a script
        raise DatasetError(
            f"{where}: {error}{_SCRIPT if 'scripts are no longer' in str(error) else ''}"
        ) from error
    except Exception as error:  # ConnectionError, httpx's errors, OSError and more, by version and by what the network does
        raise UnavailableError(
            f"{where}: not on this machine, and the hub cannot be reached ({type(error).__name__}). {REMEDY}"
        ) from error


def _not_found(message: str, source: RepositorySource) -> str:
    if "gated" in message:
        return "is gated. Accept its terms on its hub page, then log in with `hf auth login`."
    if message.startswith("Revision"):
        return f"the hub has no revision {source.revision!r} of it."
    return "the hub has no such dataset, or it is private. Check the id; for a private one, log in with `hf auth login`."


def _revision(source: RepositorySource, where: str, offline: bool) -> str | None:
    """The revision to ask for; where only its beginning is known, what the hub has now is checked against it."""
    if source.revision_prefix is None or offline or not hub_reachable():
        return source.revision
    from huggingface_hub import HfApi

    commit = str(HfApi().dataset_info(str(source.hub)).sha)
    check_prefix(source, commit, where)
    return commit


def _local(path: Path, config: str | None, where: str) -> Mapping[str, Any]:
    import datasets

    if not path.exists():
        raise UnavailableError(f"{where}: {str(path)!r} does not exist.")
    try:
        if config and (path / config).is_dir():
            tables = datasets.load_dataset(str(path / config))
        elif path.is_file():
            tables = datasets.load_dataset("parquet", data_files=str(path))
        elif (path / "dataset_dict.json").exists() or (path / "state.json").exists():
            tables = datasets.load_from_disk(str(path))
        else:
            tables = datasets.load_dataset(str(path), config)
    except Exception as error:  # `datasets` raises errors of a dozen kinds, its own and those of pyarrow, fsspec and json
        raise DatasetError(
            f"{where}: cannot be loaded from {str(path)!r} ({type(error).__name__}: {error})."
        ) from error
    return tables if isinstance(tables, datasets.DatasetDict) else {"train": tables}


def _from_folder(folder: Path) -> Mapping[str, Any]:
    """The splits of a prepared copy: files `NAME-SPLIT.arrow`, or `NAME-SPLIT-00000-of-00003.arrow` for each of its shards."""
    import datasets

    shards: dict[str, list[str]] = {}
    for file in sorted(folder.glob("*.arrow")):
        split = re.sub(r"-\d{5}-of-\d{5}$", "", file.stem).rpartition("-")[2]
        shards.setdefault(split, []).append(str(file))
    return {
        split: datasets.concatenate_datasets([datasets.Dataset.from_file(file) for file in files])
        for split, files in shards.items()
    }


def _check_revision(tables: Mapping[str, Any], source: RepositorySource, where: str) -> None:
    """Refuses another revision, which `datasets` takes from its cache where the hub cannot be reached."""
    files = [Path(file["filename"]) for table in tables.values() for file in table.cache_files]
    pinned = (
        source.revision
        if re.fullmatch(r"[0-9a-f]{40}", source.revision or "")
        else source.revision_prefix
    )
    if files and pinned and not files[0].parent.name.startswith(pinned):
        held = f"this machine has revision {files[0].parent.name!r} and not {pinned!r}"
        raise UnavailableError(f"{where}: the hub cannot be reached, and {held}. {REMEDY}")


@contextlib.contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Keeps `datasets` to what is on this machine: the setting that HF_HUB_OFFLINE=1 makes, which the library reads once, on import."""
    from datasets import config

    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before
