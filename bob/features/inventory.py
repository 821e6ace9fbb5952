"""The contents of the feature store, for the command that shows, verifies, prunes and moves them.

A running process announces which features it reads (`in_use`), and nothing that it reads is
removed. Announcing, and looking before removing, each happen under one lock, so that nobody begins
to read what is being removed. Files that the store did not write are never touched.

Of several processes that need the same temporary arrays, the last one removes them: each withdraws
its announcement first, and then looks for others.
"""

import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bob.errors import ConfigError, StoreError
from bob.features.key import StatisticsKey, StoreKey
from bob.features.shard import load_shard, removed_arrays
from bob.features.store import FAILURE_FILE, KEY_FILE, FeatureStore
from bob.io.exclusive import exclusive
from bob.io.files import TEMPORARY_PREFIX, disk_errors, move_folder_aside, write_atomically
from bob.io.leases import LEASE_SUFFIX, Lease, LeaseObserver

USERS_FOLDER, DESCRIPTION_FILE = "users", "about.json"
_PARENT, _DIGEST = re.compile("[0-9a-f]{2}"), re.compile("[0-9a-f]{32}")
_SHARD = re.compile(r"\d{6,}\.safetensors")
_LEASE = re.compile(rf"\d{{6,}}{re.escape(LEASE_SUFFIX)}(\.[0-9a-f]{{32}})?")
_DESCRIPTIONS = (KEY_FILE, DESCRIPTION_FILE, FAILURE_FILE)


@dataclass(frozen=True)
class Description:
    """Names for what a folder holds: its key has digests only."""

    backbone: str
    dataset: str
    split: str
    images: int
    shards: int
    """Number of shards when complete."""


@dataclass(frozen=True)
class StoredFeatures:
    """The folder of one key."""

    folder: Path
    description: Description | None
    shards: int
    size_bytes: int
    last_used: float
    """Seconds since 1970."""
    lacks_temporary: bool = False
    """Whether arrays were removed that only later statistics depend on, which are stored."""

    @property
    def digest(self) -> str:
        return self.folder.name

    @property
    def complete(self) -> bool | None:
        """Whether all shards exist; None where the number of images is unknown."""
        return None if self.description is None else self.shards == self.description.shards


def describe(store: FeatureStore, key: StoreKey, description: Description) -> None:
    """Write the names of a key's features and mark them as used now.

    Where nothing can be written, nothing can be pruned either, so errors are ignored.
    """
    path = store.folder(key) / DESCRIPTION_FILE
    with contextlib.suppress(OSError, StoreError):
        if path.exists():
            path.touch()
        else:
            write_atomically(path, json.dumps(asdict(description)).encode())


@dataclass(eq=False)
class Announcement:
    """Which features this process reads, for other processes to see."""

    root: Path
    digests: list[str]
    _lease: Lease | None = None

    def announce(self) -> None:
        """Make the announcement, in place of an earlier one; errors of the disk are ignored."""
        earlier = self._lease
        with contextlib.suppress(StoreError, OSError), _lock(self.root):
            _sweep_announcements(self.root)
            path = self.root / USERS_FOLDER / f"{uuid.uuid4().hex}{LEASE_SUFFIX}"
            self._lease = LeaseObserver().acquire(path, keys=self.digests)
        if earlier and earlier is not self._lease:
            earlier.release()

    def withdraw(self, digests: Collection[str]) -> None:
        """Announce that these features are not read any more."""
        self.digests = [digest for digest in self.digests if digest not in digests]
        self.announce()

    def end(self) -> None:
        if self._lease:
            self._lease.release()


@contextlib.contextmanager
def in_use(root: Path, digests: Iterable[str]) -> Iterator[Announcement]:
    """Keep the features of these keys from being removed, and mark them as used now."""
    announcement = Announcement(root, list(digests))
    announcement.announce()
    for digest in announcement.digests:
        description = root / digest[:2] / digest / DESCRIPTION_FILE
        with contextlib.suppress(OSError):
            if description.exists():
                description.touch()
    try:
        yield announcement
    finally:
        announcement.end()


def stored_features(root: Path) -> list[StoredFeatures]:
    """List all folders of features, the longest unused first. StoreError where one is unreadable.

    Folders that hold only foreign files are not features.
    """
    with _read_errors(root):
        if not root.is_dir():
            return []
        parents = [path for path in root.iterdir() if _PARENT.fullmatch(path.name)]
        folders = [
            path
            for parent in parents
            for path in (parent.iterdir() if parent.is_dir() else ())
            if _DIGEST.fullmatch(path.name) and path.name.startswith(parent.name) and path.is_dir()
        ]
        stored = [_inspect(path) for path in folders if not _is_foreign(path)]
    return sorted(stored, key=lambda stored: (stored.last_used, stored.digest))


def damaged_shards(stored: StoredFeatures) -> dict[Path, str]:
    """Return the shards that are not as they were written, and what is wrong with each."""
    damaged = {}
    for path in _shards(stored.folder):
        try:
            if load_shard(path, _place(path)) is None:
                damaged[path] = "damaged; the next run that needs it recomputes it."
        except StoreError as error:
            damaged[path] = str(error).removeprefix(f"{path}: ")
    return damaged


def foreign_files(stored: StoredFeatures) -> list[Path]:
    """List what lies among the features and was not written by the store."""
    with _read_errors(stored.folder):
        return sorted(path for path in stored.folder.iterdir() if not _is_ours(path))


def remove(
    root: Path, folders: Iterable[StoredFeatures]
) -> tuple[list[StoredFeatures], list[StoredFeatures]]:
    """Remove folders that no process uses, and return (removed, kept).

    Each folder disappears for readers in one step, before its files are deleted; it reappears with
    the foreign files in it, if there are any. StoreError where the disk refuses.
    """
    return _remove(root, folders, lambda _: True)


def remove_temporary(store: FeatureStore, arrays: Mapping[StatisticsKey, Collection[str]]) -> None:
    """Remove temporary arrays of statistics, by name, except where a process uses them.

    StoreError where the disk refuses.
    """
    with _lock(store.root):
        used = _used_digests(store.root)
        for key, names in arrays.items():
            if key.digest() not in used and not _is_written(store.folder(key)):
                store.remove_arrays(key, names)


def _remove(
    root: Path, folders: Iterable[StoredFeatures], may_go: Callable[[StoredFeatures], bool]
) -> tuple[list[StoredFeatures], list[StoredFeatures]]:
    removed, kept = [], []
    with disk_errors(root), _lock(root):
        for leftover in root.glob(f"??/{TEMPORARY_PREFIX}*"):  # of a process that was killed here
            if leftover.is_dir():
                _empty(leftover)
        used = _used_digests(root)
        for stored in folders:
            if stored.digest in used or _is_written(stored.folder) or not may_go(stored):
                kept.append(stored)
            elif stored.folder.exists():
                aside = stored.folder.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
                stored.folder.rename(aside)
                if not _empty(aside):
                    aside.rename(stored.folder)
                removed.append(stored)
    return removed, kept


def move(
    root: Path, folders: Iterable[StoredFeatures], target: Path
) -> tuple[list[StoredFeatures], list[StoredFeatures]]:
    """Move folders to another store shard by shard, and return (moved, kept).

    Undamaged shards of the target stay; undamaged ones that it lacks are copied and verified. A
    folder is removed here only when the target holds all of its undamaged shards and no process
    uses it. ConfigError where the target lies in the present store. StoreError where the disk
    refuses; nothing has been removed then, and what was copied is complete.
    """
    if target.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{target}: is the present cache folder; name another.")
    with disk_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        if root.exists() and root.samefile(target):  # a second mount of the same folder
            raise ConfigError(f"{target}: is the present cache folder; name another.")
    copied, kept = [], []
    for stored in folders:
        if _is_written(stored.folder):
            kept.append(stored)
            continue
        try:
            _copy_missing(stored, _folder_in(target, stored))
        except StoreError as error:
            raise StoreError(
                f"{error} Nothing was removed from {root}, and what was copied is complete: "
                "the same command resumes."
            ) from error
        copied.append(stored)
    moved, used = _remove(
        root, copied, lambda stored: not _missing_in(_folder_in(target, stored), stored)
    )
    return moved, [*kept, *used]


def _folder_in(root: Path, stored: StoredFeatures) -> Path:
    return root / stored.digest[:2] / stored.digest


def _copy_missing(stored: StoredFeatures, folder: Path) -> None:
    """Copy the undamaged shards and the descriptions that another folder lacks."""
    for source in _missing_in(folder, stored):
        move_folder_aside(folder / source.name)
        _copy(source, folder / source.name)
        if load_shard(folder / source.name, _place(source)) is None:
            raise StoreError(f"{folder / source.name}: differs from {source} after copying.")
    for name in _DESCRIPTIONS:
        if (stored.folder / name).is_file() and not (folder / name).exists():
            _copy(stored.folder / name, folder / name)


def _missing_in(folder: Path, stored: StoredFeatures) -> list[Path]:
    """List the undamaged shards that another folder lacks, or holds damaged."""
    return [
        source
        for source in _shards(stored.folder)
        if load_shard(folder / source.name, _place(source)) is None
        and load_shard(source, _place(source)) is not None
    ]


def _copy(source: Path, copy: Path) -> None:
    """Copy a file with its times, by which pruning decides."""
    with _read_errors(source):
        data, status = source.read_bytes(), source.stat()
    write_atomically(copy, data)
    with contextlib.suppress(OSError):
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


def _empty(folder: Path) -> bool:
    """Delete the store's files in a folder, and the folder; False where foreign files remain."""
    for path in folder.iterdir():
        if _is_ours(path):
            path.unlink(missing_ok=True)
    if any(folder.iterdir()):
        return False
    folder.rmdir()
    return True


def _is_foreign(folder: Path) -> bool:
    """Return whether a folder holds foreign files and nothing else."""
    files = list(folder.iterdir())
    return bool(files) and not any(map(_is_ours, files))


def _is_ours(path: Path) -> bool:
    """Return whether the store writes files of this name."""
    name = path.name
    is_ours = (
        name in _DESCRIPTIONS
        or name.startswith(TEMPORARY_PREFIX)
        or _SHARD.fullmatch(name)
        or _LEASE.fullmatch(name)
    )
    return bool(is_ours) and not path.is_dir()


def _shards(folder: Path) -> list[Path]:
    """List the shards of a folder in the order of their numbers."""
    shards = [path for path in folder.glob("*.safetensors") if _SHARD.fullmatch(path.name)]
    return sorted(shards, key=lambda path: int(path.stem))


def _place(shard: Path) -> str:
    """Return the place for which a shard must have been written."""
    return f"{shard.parent.name}/{int(shard.stem)}"


def _inspect(folder: Path) -> StoredFeatures:
    shards = []
    for path in _shards(folder):
        with contextlib.suppress(FileNotFoundError):  # a run has just replaced it
            shards.append(path.stat())
    times = [status.st_mtime for status in shards]
    with contextlib.suppress(FileNotFoundError):
        times.append((folder / DESCRIPTION_FILE).stat().st_mtime)
    size_bytes = sum(status.st_size for status in shards)
    last_used = max(times, default=time.time())
    description = _description(folder / DESCRIPTION_FILE)
    lacks_temporary = _lacks_temporary(folder)
    return StoredFeatures(folder, description, len(shards), size_bytes, last_used, lacks_temporary)


def _lacks_temporary(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, KeyError, AttributeError):
        return any(removed_arrays(path) for path in _shards(folder)[:1])
    return False


def _description(path: Path) -> Description | None:
    """Read a description; None where there is none, or it is not one of ours."""
    try:
        values = json.loads(path.read_bytes())
        description = Description(**values)
    except (OSError, ValueError, TypeError):
        return None
    names = (description.backbone, description.dataset, description.split)
    counts = (description.images, description.shards)
    is_valid = all(isinstance(name, str) for name in names) and all(
        isinstance(count, int) for count in counts
    )
    return description if is_valid else None


@contextlib.contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError that names the file."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{error.filename or path}: cannot be read ({error.strerror}).") from error


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Let one process at a time announce what it uses, or look and remove."""
    folder = root / USERS_FOLDER
    with contextlib.ExitStack() as inside:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            inside.enter_context(exclusive(folder / "lock"))
        yield


def _used_digests(root: Path) -> set[str]:
    """Return the digests that living processes use.

    StoreError where an announcement cannot be read: its process may use any features.
    """
    used = set[str]()
    for lease in _sweep_announcements(root):
        try:
            used |= set(json.loads(lease.read_bytes())["keys"])
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):  # killed while announcing, since the lock is ours
            lease.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{lease}: cannot be read, so the features that its process uses are unknown; "
                "remove the file if no run uses this cache."
            ) from error
    return used


def _sweep_announcements(root: Path) -> list[Path]:
    """Remove the announcements of processes that are gone, and return the others."""
    observer, others = LeaseObserver(), []
    for lease in (root / USERS_FOLDER).glob(f"*{LEASE_SUFFIX}"):
        if observer.is_stale(lease):
            with contextlib.suppress(OSError):
                lease.unlink(missing_ok=True)
        else:
            others.append(lease)
    return others


def _is_written(folder: Path) -> bool:
    observer = LeaseObserver()
    return any(not observer.is_stale(lease) for lease in folder.glob(f"*{LEASE_SUFFIX}"))
