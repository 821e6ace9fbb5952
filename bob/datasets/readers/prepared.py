"""Hub repositories that `datasets` downloads and prepares completely.

A pinned hub revision that was prepared on this machine is opened without asking the hub. Otherwise
the library would ask, and if the hub cannot be reached, silently return the copy that was prepared
last, whatever its revision.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bob.datasets.availability import prepared_configs, prepared_folder
from bob.datasets.readers.repository import (
    GATED,
    NOT_FOUND,
    OFFLINE,
    OFFLINE_REMEDY,
    cached_hub_answer,
    check_prefix,
    hub_cache_file,
    no_revision,
)
from bob.errors import DatasetError, UnavailableError
from bob.io.hub import hub_reachable
from bob.io.paths import data_path
from bob.specs import RepositorySource

_SCRIPT_REMEDY = " Name a revision after its conversion to Parquet, or another copy of the data."


def open_prepared(
    source: RepositorySource, config: str | None, where: str, offline: bool
) -> Mapping[str, Any]:
    """Return the splits of a config by name, each a `datasets.Dataset`."""
    import datasets

    if folder := prepared_folder(source, config):
        return _open_arrow_files(folder)
    with library_errors(source, where), _offline_setting(offline or not hub_reachable()):
        tables: Mapping[str, Any] = datasets.load_dataset(
            source.hub, config, revision=_revision(source, where, offline)
        )
    _check_revision(tables, source, where)
    return tables


def config_names(source: RepositorySource, where: str, offline: bool, cache: Path) -> list[str]:
    """List the configs of a repository, or of a local copy with one folder per config."""
    if source.path is not None:
        return sorted(path.name for path in data_path(source.path).iterdir() if path.is_dir())
    unreachable = offline or not hub_reachable()
    if unreachable and (names := prepared_configs(source)):
        return names

    def ask() -> dict[str, Any]:
        import datasets

        if unreachable:
            raise UnavailableError(f"{where}: {OFFLINE}")
        with library_errors(source, where):
            return {
                "configs": datasets.get_dataset_config_names(
                    str(source.hub), revision=_revision(source, where, offline)
                )
            }

    configs: list[str] = cached_hub_answer(
        hub_cache_file(cache, source, "configs"),
        {"configs"},
        ask,
        refresh=not source.revision and not unreachable,
    )["configs"]
    return configs


@contextlib.contextmanager
def library_errors(source: RepositorySource, where: str) -> Iterator[None]:
    """Convert the errors of `datasets` to two.

    An UnavailableError if the data cannot be obtained here, a DatasetError if the entry is wrong.
    """
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except DatasetError:
        raise
    except DatasetNotFoundError as error:
        raise UnavailableError(f"{where}: {_explain_not_found(str(error), source)}") from error
    except (ValueError, RuntimeError) as error:  # an unknown config; a dataset that is a script
        remedy = _SCRIPT_REMEDY if "scripts are no longer" in str(error) else ""
        raise DatasetError(f"{where}: {str(error).rstrip('.')}.{remedy}") from error
    # ConnectionError, httpx's errors, OSError and more, by version and by the network's behaviour
    except Exception as error:
        raise UnavailableError(
            f"{where}: not on this machine, and the hub cannot be reached "
            f"({type(error).__name__}). {OFFLINE_REMEDY}"
        ) from error


def _explain_not_found(message: str, source: RepositorySource) -> str:
    if "gated" in message:
        return GATED
    return no_revision(source) if message.startswith("Revision") else NOT_FOUND


def _revision(source: RepositorySource, where: str, offline: bool) -> str | None:
    """Return the revision to request, after checking the current commit against a prefix."""
    if source.revision_prefix is None or offline or not hub_reachable():
        return source.revision
    from huggingface_hub import HfApi

    commit = str(HfApi().dataset_info(str(source.hub)).sha)
    check_prefix(source, commit, where)
    return commit


def _open_arrow_files(folder: Path) -> Mapping[str, Any]:
    """Return the splits of a prepared copy, by name.

    Its files are called `NAME-SPLIT.arrow`, or `NAME-SPLIT-00000-of-00003.arrow` if sharded.
    """
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
    """Raise if `datasets` returned another revision from its cache, as it does when offline."""
    files = [Path(file["filename"]) for table in tables.values() for file in table.cache_files]
    pinned = (
        source.revision
        if re.fullmatch(r"[0-9a-f]{40}", source.revision or "")
        else source.revision_prefix
    )
    if files and pinned and not files[0].parent.name.startswith(pinned):
        raise UnavailableError(
            f"{where}: the hub cannot be reached, and this machine has revision "
            f"{files[0].parent.name!r} instead of {pinned!r}. {OFFLINE_REMEDY}"
        )


@contextlib.contextmanager
def _offline_setting(offline: bool) -> Iterator[None]:
    """Restrict `datasets` to what is on this machine.

    Sets what HF_HUB_OFFLINE=1 would set, a variable that the library reads once, on import.
    """
    from datasets import config

    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before
