"""What the feature store holds, seen from outside: for the command that shows, verifies, prunes and moves it.

A running process says which features it reads (`in_use`); nothing that it reads is removed. Saying so and looking are one step each under a lock,
so that nobody begins to read what is being removed.
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

from bob.errors import StoreError
from bob.features.key import FeatureKey
from bob.features.leases import Watch
from bob.features.store import CLAIM, FeatureStore, load_shard, shard_count
from bob.io.files import ASIDE, disk_errors, write_whole

USERS, ABOUT = "users", "about.json"


@dataclass(frozen=True)
class About:
    """Whose rows a folder holds, in names: a key holds digests."""

    backbone: str
    dataset: str
    split: str
    images: int


@dataclass(frozen=True)
class Stored:
    """One key's folder."""

    folder: Path
    about: About | None
    shards: int
    size_bytes: int
    used: float
    """When it was last used, in seconds since 1970."""

    @property
    def digest(self) -> str:
        return self.folder.name

    @property
    def complete(self) -> bool | None:
        """None where it is not known how many images there are."""
        return None if self.about is None else self.shards == shard_count(self.about.images)


def describe(store: FeatureStore, key: FeatureKey, about: About) -> None:
    """Says whose rows these are and that they are used now; where nothing can be written nobody can prune either."""
    path = store.folder(key) / ABOUT
    with contextlib.suppress(OSError, StoreError):
        if path.exists():
            path.touch()
        else:
            write_whole(path, json.dumps(asdict(about)).encode())


@contextlib.contextmanager
def in_use(root: Path, keys: Iterable[FeatureKey]) -> Iterator[None]:
    """Keeps these features from being removed, and marks them as used now. Where nothing can be written, nothing can be removed either."""
    claim, digests = None, [key.digest() for key in keys]
    with contextlib.suppress(StoreError, OSError), _users(root):
        claim = Watch().take(root / USERS / f"{uuid.uuid4().hex}{CLAIM}", keys=digests)
        for about in [
            path for digest in digests if (path := root / digest[:2] / digest / ABOUT).exists()
        ]:
            about.touch()
    try:
        yield
    finally:
        if claim:
            claim.release()


def everything(root: Path) -> list[Stored]:
    """Every folder of features, the longest unused first."""
    found = [
        _stored(path)
        for path in root.glob("??/*")
        if path.is_dir() and not path.name.startswith(".")
    ]
    return sorted(found, key=lambda one: (one.used, one.digest))


def damaged(one: Stored) -> list[Path]:
    """Shards that are not as they were written."""
    return [
        path
        for path in sorted(one.folder.glob("*.safetensors"))
        if load_shard(path, f"{one.digest}/{int(path.stem)}") is None
    ]


def remove(root: Path, folders: Iterable[Stored]) -> tuple[list[Stored], list[Stored]]:
    """Removes what nobody uses: (removed, kept). Each folder is gone for readers in one step, before its files are."""
    removed, kept = [], []
    with disk_errors(root), _users(root):
        used = _used(root)
        for one in folders:
            if one.digest in used or _is_written(one.folder):
                kept.append(one)
            else:
                aside = one.folder.with_name(f"{ASIDE}{uuid.uuid4().hex}")
                one.folder.rename(aside)
                shutil.rmtree(aside)
                removed.append(one)
    return removed, kept


def move(root: Path, folders: Iterable[Stored], target: Path) -> tuple[list[Stored], list[Stored]]:
    """Copies what nobody writes to another store, whole or not at all, then removes it here where nobody uses it: (moved, kept here)."""
    copied, kept = [], []
    for one in folders:
        if _is_written(one.folder):
            kept.append(one)
            continue
        there = target / one.digest[:2] / one.digest
        with disk_errors(there):
            aside = there.with_name(f"{ASIDE}{uuid.uuid4().hex}")
            shutil.copytree(
                one.folder, aside, ignore=shutil.ignore_patterns(f"*{CLAIM}", f"{ASIDE}*")
            )
            if there.exists():
                shutil.rmtree(there)
            aside.rename(there)
        copied.append(one)
    moved, used = remove(root, copied)
    return moved, [*kept, *used]


def _stored(folder: Path) -> Stored:
    shards = [path.stat() for path in folder.glob("*.safetensors")]
    about = folder / ABOUT
    times = [stat.st_mtime for stat in shards] + ([about.stat().st_mtime] if about.exists() else [])
    return Stored(
        folder,
        _about(about),
        len(shards),
        sum(stat.st_size for stat in shards),
        max(times, default=time.time()),
    )


def _about(path: Path) -> About | None:
    try:
        return About(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def _users(root: Path) -> Iterator[None]:
    """One process at a time says what it uses, or looks and removes."""
    folder = root / USERS
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _used(root: Path) -> set[str]:
    """Digests that a living process uses; what dead ones said is cleared away."""
    watch, used = Watch(), set[str]()
    for claim in (root / USERS).glob(f"*{CLAIM}"):
        if watch.is_dead(claim):
            claim.unlink(missing_ok=True)
        else:
            with contextlib.suppress(OSError, ValueError):
                used |= set(json.loads(claim.read_bytes()).get("keys", []))
    return used


def _is_written(folder: Path) -> bool:
    watch = Watch()
    return any(not watch.is_dead(claim) for claim in folder.glob(f"*{CLAIM}"))
