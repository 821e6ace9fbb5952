"""Files of a dataset repository, on the hub or in a local copy, fetched when they are opened.

The list of files of a hub repository is cached per commit, so that files that were downloaded once
are found again without a network.

If `$BOB_SHARDS_GB` sets a limit, files are kept only up to that size, and the least recently used
one makes room. Images are read in order, so a dataset larger than the disk streams through it, at
the price of fetching each file once for its index and once for every pass.
"""

import contextlib
import fnmatch
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bob.datasets.content.digests import content_digest, file_version
from bob.errors import ConfigError, DatasetError, StoreError, UnavailableError
from bob.io.files import read_regular, write_atomically
from bob.io.hub import hub_reachable
from bob.io.paths import data_path
from bob.specs import RepositorySource

LIMIT_VARIABLE = "BOB_SHARDS_GB"
GB = 1e9
OFFLINE_REMEDY = "Run once with a network, or set HF_HOME to a copy."
OFFLINE = f"not on this machine, and the hub cannot be reached. {OFFLINE_REMEDY}"
GATED = (
    "the repository is gated. Accept its terms on its hub page, then log in with `hf auth login`."
)
NOT_FOUND = (
    "the hub has no such dataset, or it is private. Check the id; for a private one, log in with "
    "`hf auth login`."
)


@dataclass(frozen=True)
class RepositoryFile:
    """A file of a repository."""

    name: str
    """Path within the repository."""
    size: int
    """Size in bytes."""
    version: str
    """Text that changes with the content: the hub's object id, or path, size and times."""


class RepositoryFiles:
    """The files of a repository. Safe to use from several threads."""

    def __init__(self, source: RepositorySource, where: str, cache: Path, offline: bool) -> None:
        self.where = where
        self._source, self._cache, self._offline = source, cache, offline
        self._lock = threading.Lock()
        self._kept_sizes: OrderedDict[str, int] = OrderedDict()
        self._limit = disk_limit_bytes()
        self.commit, self.by_name = self._list_local() if source.path else self._list_hub()
        if self._limit is not None:
            present = [name for name in self.by_name if (self._folder() / name).exists()]
            self._kept_sizes.update((name, self.by_name[name].size) for name in present)

    def matching(self, patterns: str | Sequence[str]) -> list[RepositoryFile]:
        """Return the files that match names or globs, sorted per pattern; none is an error."""
        files = []
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            matches = [self.by_name[name] for name in sorted(fnmatch.filter(self.by_name, pattern))]
            if not matches:
                raise DatasetError(
                    f"{self.where}: no file matches {pattern!r}. "
                    f"Files: {_abbreviate(list(self.by_name))}."
                )
            files += matches
        return files

    def open(self, file: RepositoryFile) -> BinaryIO:
        """Open a file for reading; download it first if it is not on this disk.

        Its name may be removed while it is open.
        """
        with self._lock:
            path = self.path(file)
            return path.open("rb")

    def path(self, file: RepositoryFile) -> Path:
        """Return the path of a file on this disk; download it first if it is not there."""
        if self._source.path:
            return data_path(self._source.path) / file.name
        if self._limit is not None:
            self._make_room(file)
        return self._download(file)

    def check_reachable(self) -> None:
        """Raise an UnavailableError if the hub cannot be asked."""
        if self._offline or not hub_reachable():
            raise UnavailableError(f"{self.where}: {OFFLINE}")

    def _list_local(self) -> tuple[str, Mapping[str, RepositoryFile]]:
        root = data_path(str(self._source.path))
        if not root.is_dir():
            raise UnavailableError(f"{self.where}: {str(root)!r} does not exist.")
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        files = [
            RepositoryFile(
                path.relative_to(root).as_posix(), path.stat().st_size, file_version(path)
            )
            for path in paths
        ]
        return "", {file.name: file for file in files}

    def _list_hub(self) -> tuple[str, Mapping[str, RepositoryFile]]:
        unreachable = self._offline or not hub_reachable()
        answer = cached_hub_answer(
            hub_cache_file(self._cache, self._source),
            {"commit", "files"},
            self._ask_hub,
            refresh=not self._source.revision and not unreachable,
        )
        return answer["commit"], {
            name: RepositoryFile(name, size, version) for name, size, version in answer["files"]
        }

    def _ask_hub(self) -> dict[str, Any]:
        """Return the commit that the revision refers to now, and its files."""
        self.check_reachable()
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        source = self._source
        with hub_errors(self.where, source):
            commit = str(HfApi().dataset_info(str(source.hub), revision=source.revision).sha)
            check_prefix(source, commit, self.where)
            tree = HfApi().list_repo_tree(
                str(source.hub), repo_type="dataset", revision=commit, recursive=True
            )
            return {
                "commit": commit,
                "files": [
                    [entry.path, entry.size, entry.blob_id]
                    for entry in tree
                    if isinstance(entry, RepoFile)
                ],
            }

    def _download(self, file: RepositoryFile) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        # The hub's client would try for half a minute.
        unreachable = self._offline or not hub_reachable()
        options: dict[str, Any] = {} if self._limit is None else {"local_dir": self._folder()}
        with hub_errors(self.where, self._source):
            try:
                name = hf_hub_download(
                    str(self._source.hub),
                    file.name,
                    repo_type="dataset",
                    revision=self.commit,
                    local_files_only=unreachable,
                    **options,
                )
            except LocalEntryNotFoundError as error:
                raise UnavailableError(f"{self.where}: {file.name} is {OFFLINE}") from error
        return Path(name)

    def _make_room(self, file: RepositoryFile) -> None:
        """Remove the least recently used files until this one fits."""
        limit = self._limit or 0
        if file.size > limit:
            raise ConfigError(
                f"{self.where}: {file.name} takes {file.size / GB:.3g} GB, more than "
                f"{LIMIT_VARIABLE}={limit / GB:.3g} allows. Raise {LIMIT_VARIABLE}."
            )
        self._kept_sizes.pop(file.name, None)
        while self._kept_sizes and sum(self._kept_sizes.values()) + file.size > limit:
            name, _ = self._kept_sizes.popitem(last=False)
            (self._folder() / name).unlink(missing_ok=True)
        self._kept_sizes[file.name] = file.size

    def _folder(self) -> Path:
        return streaming_folder(self._cache, self._source, self.commit)


def streaming_folder(cache: Path, source: RepositorySource, commit: str) -> Path:
    """Return the folder of the files that are kept up to the limit only."""
    return cache / "shards" / content_digest(f"{source.hub} {commit}".encode())


def cached_streaming_folders(cache: Path, source: RepositorySource) -> list[Path]:
    """Return the streaming folder of the commit in the cache; empty if there is no such commit."""
    answer = _load(hub_cache_file(cache, source), {"commit"})
    return [streaming_folder(cache, source, answer["commit"])] if answer else []


def check_prefix(source: RepositorySource, commit: str, where: str) -> None:
    """Raise if the repository's current commit does not match the entry's `revision_prefix`."""
    if source.revision_prefix and not commit.startswith(source.revision_prefix):
        raise DatasetError(
            f"{where}: the repository has changed: its current commit is {commit!r}, and the entry "
            f"was written for {source.revision_prefix!r}. Review the changes, then name the commit "
            f"that you want as the entry's 'revision'."
        )


def no_revision(source: RepositorySource) -> str:
    """Return the message for a revision that the hub does not have."""
    return (
        f"the hub has no revision {source.revision!r} of this repository. "
        f"Correct the entry's 'revision'."
    )


@contextlib.contextmanager
def hub_errors(where: str, source: RepositorySource) -> Iterator[None]:
    """Convert the errors of the hub's client to UnavailableErrors with a remedy."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise UnavailableError(f"{where}: {GATED}") from error
    except RevisionNotFoundError as error:
        raise UnavailableError(f"{where}: {no_revision(source)}") from error
    except RepositoryNotFoundError as error:
        raise UnavailableError(f"{where}: {NOT_FOUND}") from error
    except OSError as error:  # the client's HTTP errors, and those of the disk
        raise UnavailableError(
            f"{where}: the hub cannot be reached, or refused the request "
            f"({type(error).__name__}: {error}). {OFFLINE_REMEDY}"
        ) from error


def disk_limit_bytes() -> int | None:
    """Return how many bytes of a repository's files may be kept at a time; None is unlimited."""
    text = os.environ.get(LIMIT_VARIABLE)
    if not text:
        return None
    try:
        return int(float(text) * GB)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{LIMIT_VARIABLE} must be a number of gigabytes; got {text!r}."
        ) from None


def hub_cache_file(cache: Path, source: RepositorySource, *parts: str | None) -> Path:
    """Return the cache file of a hub answer about a revision: its files, or what `parts` name."""
    revision = source.revision or source.revision_prefix or "main"
    key = " ".join(map(str, (source.hub, revision, *parts)))
    return cache / "repositories" / f"{content_digest(key.encode())}.json"


def cached_hub_answer(
    cache_file: Path, fields: Set[str], ask: Callable[[], dict[str, Any]], *, refresh: bool = False
) -> dict[str, Any]:
    """Load a hub answer with these fields from its cache file, or ask the hub and cache the answer.

    With `refresh`, the hub is asked in any case.
    """
    if not refresh and (cached := _load(cache_file, fields)) is not None:
        return cached
    answer = ask()
    with contextlib.suppress(StoreError):  # a full disk loses the cache but does not stop the run
        write_atomically(cache_file, json.dumps(answer).encode())
    return answer


def _load(cache_file: Path, fields: Set[str]) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(read_regular(cache_file))
        return values if fields <= set(values) else None
    except (OSError, ValueError, TypeError):
        return None


def _abbreviate(names: Sequence[str]) -> str:
    """List at most ten names, and count the others."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(names[:10]) or "none") + more
