"""Where things live on this machine."""

import hashlib
import importlib.metadata
import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent


def shipped(name: str) -> Path:
    """`backbones.yaml` or `tasks`: beside the package in a checkout, inside it in an installed copy."""
    installed = PACKAGE / "shipped" / name
    return installed if installed.exists() else CHECKOUT / name


def default_cache() -> Path:
    """Features, fingerprints and backbone cards: $BOB_CACHE, else $XDG_CACHE_HOME/bob-bench, else ~/.cache/bob-bench."""
    if chosen := os.environ.get("BOB_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bob-bench"


def downloads() -> Path:
    """Checkpoints fetched from the web, other than from the hub: $BOB_CACHE/downloads and so on."""
    return default_cache() / "downloads"


def data_path(path: str) -> Path:
    """A path of a dataset; `$BOB_DATA/...` lies below the folder of that environment variable, else below `data` in the cache."""
    if not path.startswith("$BOB_DATA"):
        return Path(path).expanduser()
    return Path(
        os.environ.get("BOB_DATA") or default_cache() / "data"
    ).expanduser() / path.removeprefix("$BOB_DATA").lstrip("/")


def hub_cache() -> Path:
    """The Hugging Face hub's cache folder, found as `huggingface_hub` finds it (which takes long to import)."""
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return Path(chosen)
    home = (
        os.environ.get("HF_HOME")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    )
    return Path(home) / "hub"


def in_package(distribution: str, file: str) -> Path | None:
    """The path of `file` inside an installed distribution, or None where the distribution is not installed."""
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(file)))
    return path if path.exists() else None


def download_path(url: str) -> Path:
    """Where the file of a web address lies on this machine; two addresses never share a file, whatever its name."""
    return (
        downloads()
        / hashlib.sha256(url.encode()).hexdigest()[:16]
        / url.rstrip("/").rsplit("/", 1)[-1].split("?")[0]
    )
