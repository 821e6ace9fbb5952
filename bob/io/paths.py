"""Locations of the package's, the user's and the hub's files on this machine."""

import hashlib
import importlib.metadata
import os
from collections.abc import Callable
from pathlib import Path

from bob.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent


def is_true(question: Callable[[], bool]) -> bool:
    """Return the answer of `path.exists` and the like.

    False for a link that leads nowhere, in a circle or out of reach.
    """
    try:
        return question()
    except OSError:
        return False


def shipped(name: str) -> Path:
    """Return the path of `backbones.yaml` or `tasks`: in an installed package, else beside it."""
    installed = PACKAGE / "shipped" / name
    return installed if installed.exists() else CHECKOUT / name


def default_cache() -> Path:
    """Return the folder of features, fingerprints and backbone cards.

    It is $BOB_CACHE, else $XDG_CACHE_HOME/bob-bench, else ~/.cache/bob-bench. ConfigError where
    neither is set and the user has no home folder, as in a container with another user's number.
    """
    cache = _cache()
    if cache.parts[:1] == ("~",):
        raise ConfigError(
            "this user has no home folder to store features in: set the environment variable "
            "BOB_CACHE, or give --cache-dir."
        )
    return cache


def downloads() -> Path:
    """Return the folder of files downloaded from the web, other than from the hub."""
    return _cache() / "downloads"


def download_path(url: str) -> Path:
    """Return where the file of a URL is stored; two URLs never share a path."""
    name = url.rstrip("/").rsplit("/", 1)[-1].split("?")[0]
    return downloads() / hashlib.sha256(url.encode()).hexdigest()[:16] / name


def data_path(path: str) -> Path:
    """Resolve a dataset's path, in which a leading `$BOB_DATA` is a folder.

    The folder is that of the environment variable, else `data` in the default cache.
    """
    if not path.startswith("$BOB_DATA"):
        return user_path(path)
    root = user_path(os.environ.get("BOB_DATA") or _cache() / "data")
    return root / path.removeprefix("$BOB_DATA").lstrip("/")


def hub_cache() -> Path:
    """Return the cache folder of the Hugging Face hub.

    It is determined as `huggingface_hub` does, which takes too long to import for `list`.
    """
    if folder := os.environ.get("HF_HUB_CACHE"):
        return Path(folder)
    return Path(os.environ.get("HF_HOME") or user_cache() / "huggingface") / "hub"


def hub_snapshot_path(repository: str, revision: str | None = None) -> Path:
    """Return the folder that caches a model repository at a revision; it need not exist.

    A branch or tag (`main` by default) is resolved to the commit that the cache recorded for it, as
    `huggingface_hub.try_to_load_from_cache` does.
    """
    folder = hub_cache() / f"models--{repository.replace('/', '--')}"
    commit = revision or "main"
    if (reference := folder / "refs" / commit).is_file():
        commit = reference.read_text(encoding="utf-8")
    return folder / "snapshots" / commit


def in_package(distribution: str, file: str) -> Path | None:
    """Return the path of `file` inside an installed distribution, or None if there is none."""
    try:
        installed = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(installed.locate_file(file)))
    return path if path.exists() else None


def user_path(path: str | Path) -> Path:
    """Replace a leading `~` by the user's home folder; it stays where the user has none."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib's raises RuntimeError there)


def user_cache() -> Path:
    """Return the folder in which programs keep caches; below `~` where the user has no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or user_path("~/.cache"))


def _cache() -> Path:
    """Return the cache folder to look things up in; it may be below a `~` that does not exist."""
    return Path(os.environ.get("BOB_CACHE") or user_cache() / "bob-bench")
