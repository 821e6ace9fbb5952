"""The files of a dataset repository, on the hub or in a local copy: which there are, and each on this disk when it is asked for.

Of a hub repository, the list of files is remembered per commit, so that what was downloaded once is found again without a network.

Where a limit is set ($BOB_SHARDS_GB), files are kept only up to that size, and the one that was used longest ago makes room: images are read in
order, so a set larger than the disk goes through it, at the price of fetching each file once for its index and once for every pass.
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

from bob.datasets.content.digests import content_digest
from bob.errors import ConfigError, DatasetError, StoreError, UnavailableError
from bob.io.files import write_atomically
from bob.io.hub import hub_reachable
from bob.io.paths import data_path
from bob.specs import RepositorySource

REMEDY = "Run once with a network, or set HF_HOME to a copy."
LIMIT = "BOB_SHARDS_GB"
GB = 1e9


@dataclass(frozen=True)
class File:
    """A file of a repository."""

    name: str
    """Its path in the repository."""
    size: int
    version: str
    """What changes when its content does: the hub's object id, or size and times."""


class Files:
    """The files of a repository. Safe to use from several threads."""

    def __init__(self, source: RepositorySource, where: str, cache: Path, offline: bool) -> None:
        self.where = where
        self._source, self._cache, self._offline = source, cache, offline
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._limit = limit_bytes()
        self.commit, self.all = self._local() if source.path else self._of_hub()
        if self._limit is not None:
            here = [name for name in self.all if (self._passing() / name).exists()]
            self._kept.update((name, self.all[name].size) for name in here)

    def matching(self, patterns: str | Sequence[str]) -> list[File]:
        """The files that a name or glob means, in the order of their names; none is an error."""
        found = []
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            here = [self.all[name] for name in sorted(fnmatch.filter(self.all, pattern))]
            if not here:
                raise DatasetError(
                    f"{self.where}: no file matches {pattern!r}. There are: {_some(list(self.all))}."
                )
            found += here
        return found

    def opened(self, file: File) -> BinaryIO:
        """The file, open for reading; it is downloaded first where it is not here, and may be removed by its name while it is open."""
        with self._lock:
            path = self.path(file)
            return path.open("rb")

    def path(self, file: File) -> Path:
        """Where the file is on this disk; it is downloaded first where it is not here."""
        if self._source.path:
            return data_path(self._source.path) / file.name
        if self._limit is not None:
            self._make_room(file)
        return self._download(file)

    def check_reachable(self) -> None:
        """What is not remembered can be asked of the hub alone."""
        if self._offline or not hub_reachable():
            raise UnavailableError(
                f"{self.where}: not on this machine, and the hub cannot be reached. {REMEDY}"
            )

    def _local(self) -> tuple[str, Mapping[str, File]]:
        root = data_path(str(self._source.path))
        if not root.is_dir():
            raise UnavailableError(f"{self.where}: {str(root)!r} does not exist.")
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        files = [
            File(
                path.relative_to(root).as_posix(),
                path.stat().st_size,
                f"{path.absolute()} {_times(path)}",
            )
            for path in paths
        ]
        return "", {file.name: file for file in files}

    def _of_hub(self) -> tuple[str, Mapping[str, File]]:
        cut_off = self._offline or not hub_reachable()
        known = cached_hub_answer(
            hub_cache_file(self._cache, self._source),
            {"commit", "files"},
            self._ask,
            anew=not self._source.revision and not cut_off,
        )
        return known["commit"], {
            name: File(name, size, version) for name, size, version in known["files"]
        }

    def _ask(self) -> dict[str, Any]:
        """The commit that the revision means now, and its files."""
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

    def _download(self, file: File) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        cut_off = self._offline or not hub_reachable()  # its client would try for half a minute
        where: dict[str, Any] = {} if self._limit is None else {"local_dir": self._passing()}
        with hub_errors(self.where, self._source):
            try:
                name = hf_hub_download(
                    str(self._source.hub),
                    file.name,
                    repo_type="dataset",
                    revision=self.commit,
                    local_files_only=cut_off,
                    **where,
                )
            except LocalEntryNotFoundError as error:
                raise UnavailableError(
                    f"{self.where}: {file.name} is not on this machine, and the hub cannot be reached. {REMEDY}"
                ) from error
        return Path(name)

    def _make_room(self, file: File) -> None:
        """Removes what was used longest ago until the file fits."""
        limit = self._limit or 0
        if file.size > limit:
            raise ConfigError(
                f"{self.where}: {file.name} takes {file.size / GB:.3g} GB, more than {LIMIT}={limit / GB:.3g} allows. Raise it."
            )
        self._kept.pop(file.name, None)
        while self._kept and sum(self._kept.values()) + file.size > limit:
            name, _ = self._kept.popitem(last=False)
            (self._passing() / name).unlink(missing_ok=True)
        self._kept[file.name] = file.size

    def _passing(self) -> Path:
        """The folder of files that are here for a while."""
        return passing(self._cache, self._source, self.commit)


def passing(cache: Path, source: RepositorySource, commit: str) -> Path:
    """Where files of a repository lie that are kept for a while."""
    return cache / "shards" / content_digest(f"{source.hub} {commit}".encode())


def streaming_folders(cache: Path, source: RepositorySource) -> list[Path]:
    """The same of the commit that is remembered, if any."""
    known = _recall(hub_cache_file(cache, source), {"commit"})
    return [passing(cache, source, known["commit"])] if known else []


def check_prefix(source: RepositorySource, commit: str, where: str) -> None:
    """Where only the beginning of the commit is known, what the hub has now must be it."""
    if source.revision_prefix and not commit.startswith(source.revision_prefix):
        raise DatasetError(
            f"{where}: the repository has moved: the hub has {commit!r} now, and the entry was written for {source.revision_prefix!r}. "
            "Look at what changed there, then name the commit that you want as its 'revision'."
        )


@contextlib.contextmanager
def hub_errors(where: str, source: RepositorySource) -> Iterator[None]:
    """The many errors of the hub's client as what cannot be had here, with the remedy."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise UnavailableError(
            f"{where}: is gated. Accept its terms on its hub page, then log in with `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise UnavailableError(
            f"{where}: the hub has no revision {source.revision!r} of it."
        ) from error
    except RepositoryNotFoundError as error:
        hint = "Check the id; for a private one, log in with `hf auth login`."
        raise UnavailableError(
            f"{where}: the hub has no such dataset, or it is private. {hint}"
        ) from error
    except OSError as error:  # what the client's HTTP errors are, and those of the disk
        raise UnavailableError(
            f"{where}: the hub cannot be reached, or refuses ({type(error).__name__}: {error}). {REMEDY}"
        ) from error


def limit_bytes() -> int | None:
    """What may be kept of a repository's files at a time; None is all."""
    text = os.environ.get(LIMIT)
    if not text:
        return None
    try:
        return int(float(text) * GB)
    except ValueError:
        raise ConfigError(f"{LIMIT} must be a number of gigabytes; got {text!r}.") from None


def hub_cache_file(cache: Path, source: RepositorySource, *what: str | None) -> Path:
    """Where it is remembered what the hub said of a revision: its files, or something else."""
    asked = source.revision or source.revision_prefix or "main"
    return (
        cache
        / "repositories"
        / f"{content_digest(' '.join(map(str, (source.hub, asked, *what))).encode())}.json"
    )


def cached_hub_answer(
    memory: Path, fields: Set[str], ask: Callable[[], dict[str, Any]], *, anew: bool = False
) -> dict[str, Any]:
    """What the hub said once, else what it says now, which is written there; `anew` asks it in any case."""
    if not anew and (known := _recall(memory, fields)) is not None:
        return known
    said = ask()
    with contextlib.suppress(StoreError):  # a full disk costs the memory, not the run
        write_atomically(memory, json.dumps(said).encode())
    return said


def _recall(memory: Path, fields: Set[str]) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(memory.read_bytes())
        return values if fields <= set(values) else None
    except (OSError, ValueError, TypeError):
        return None


def _times(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(names[:10]) or "none") + more
