"""The contents of the feature store, for the command that shows, verifies, prunes and moves them.

A running process announces which features it reads (`in_use`), and nothing that it reads is
removed. Announcing, and looking before removing, each happen under one lock, so that nobody begins
to read what is being removed.
"""

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from bob.errors import ConfigError, StoreError
from bob.features.key import StoreKey
from bob.features.leases import LeaseObserver
from bob.features.shard import load_shard
from bob.features.store import LEASE_SUFFIX, FeatureStore
from bob.io.files import TEMPORARY_PREFIX, disk_errors, write_atomically

USERS_FOLDER, DESCRIPTION_FILE = "users", "about.json"


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


@contextlib.contextmanager
def in_use(root: Path, digests: Iterable[str]) -> Iterator[None]:
    """Keep the features of these keys from being removed, and mark them as used now."""
    lease, names = None, list(digests)
    with contextlib.suppress(StoreError, OSError), _lock(root):
        path = root / USERS_FOLDER / f"{uuid.uuid4().hex}{LEASE_SUFFIX}"
        lease = LeaseObserver().acquire(path, keys=names)
        for name in names:
            description = root / name[:2] / name / DESCRIPTION_FILE
            if description.exists():
                description.touch()
    try:
        yield
    finally:
        if lease:
            lease.release()


def stored_features(root: Path) -> list[StoredFeatures]:
    """List all folders of features, the longest unused first."""
    folders = [path for path in root.glob("??/*") if path.is_dir() and path.name[0] != "."]
    return sorted(map(_inspect, folders), key=lambda stored: (stored.last_used, stored.digest))


def damaged_shards(stored: StoredFeatures) -> list[Path]:
    """List the shards that are not as they were written."""
    return [
        path
        for path in sorted(stored.folder.glob("*.safetensors"))
        if load_shard(path, f"{stored.digest}/{_number(path)}") is None
    ]


def remove(
    root: Path, folders: Iterable[StoredFeatures]
) -> tuple[list[StoredFeatures], list[StoredFeatures]]:
    """Remove folders that no process uses, and return (removed, kept).

    Each folder disappears for readers in one step, before its files are deleted.
    """
    removed, kept = [], []
    with disk_errors(root), _lock(root):
        used = _used_digests(root)
        for stored in folders:
            if stored.digest in used or _is_written(stored.folder):
                kept.append(stored)
            else:
                aside = stored.folder.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
                stored.folder.rename(aside)
                shutil.rmtree(aside)
                removed.append(stored)
    return removed, kept


def move(
    root: Path, folders: Iterable[StoredFeatures], target: Path
) -> tuple[list[StoredFeatures], list[StoredFeatures]]:
    """Move folders to another store shard by shard, and return (moved, kept).

    Shards that the target already holds undamaged are kept there; others are copied and verified.
    A folder is removed here only when the target holds all of its shards and no process uses it.
    ConfigError where both stores are one folder.
    """
    target.mkdir(parents=True, exist_ok=True)
    if root.exists() and root.samefile(target):
        raise ConfigError(f"{target}: is the store itself; name another folder.")
    copied, kept = [], []
    for stored in folders:
        if _is_written(stored.folder):
            kept.append(stored)
        else:
            _merge_into(stored, target / stored.digest[:2] / stored.digest)
            copied.append(stored)
    moved, used = remove(root, copied)
    return moved, [*kept, *used]


def _merge_into(stored: StoredFeatures, folder: Path) -> None:
    """Copy the undamaged shards and the descriptions that the other folder lacks."""
    for source in sorted(stored.folder.iterdir()):
        if source.name.startswith(TEMPORARY_PREFIX) or source.name.endswith(LEASE_SUFFIX):
            continue
        copy = folder / source.name
        if source.suffix != ".safetensors":
            if source.is_file() and not copy.exists():
                write_atomically(copy, source.read_bytes())
            continue
        place = f"{stored.digest}/{_number(source)}"
        if load_shard(copy, place) is None and load_shard(source, place) is not None:
            with disk_errors(copy):
                write_atomically(copy, source.read_bytes())
            if load_shard(copy, place) is None:
                raise StoreError(
                    f"{copy}: is not what was copied from {source}; nothing is removed."
                )


def _number(path: Path) -> str:
    """Return the number in a shard's file name as its place spells it."""
    return str(int(path.stem)) if path.stem.isdigit() else path.stem


def _inspect(folder: Path) -> StoredFeatures:
    shards = [path.stat() for path in folder.glob("*.safetensors")]
    description = folder / DESCRIPTION_FILE
    times = [stat.st_mtime for stat in shards]
    if description.exists():
        times.append(description.stat().st_mtime)
    size_bytes = sum(stat.st_size for stat in shards)
    last_used = max(times, default=time.time())
    return StoredFeatures(folder, _description(description), len(shards), size_bytes, last_used)


def _description(path: Path) -> Description | None:
    try:
        return Description(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Let one process at a time announce what it uses, or look and remove."""
    folder = root / USERS_FOLDER
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _used_digests(root: Path) -> set[str]:
    """Return the digests that living processes use; announcements of dead ones are removed."""
    observer, used = LeaseObserver(), set[str]()
    for lease in (root / USERS_FOLDER).glob(f"*{LEASE_SUFFIX}"):
        if observer.is_stale(lease):
            lease.unlink(missing_ok=True)
        else:
            with contextlib.suppress(OSError, ValueError):
                used |= set(json.loads(lease.read_bytes()).get("keys", []))
    return used


def _is_written(folder: Path) -> bool:
    observer = LeaseObserver()
    return any(not observer.is_stale(lease) for lease in folder.glob(f"*{LEASE_SUFFIX}"))
