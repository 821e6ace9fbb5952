"""Provenance of a record: when, with which versions and from which commit it was created."""

import datetime
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from bob import __version__
from bob.io.paths import CHECKOUT

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pillow",
    "scikit-learn",
    "faiss-cpu",
    "datasets",
    "safetensors",
)


def provenance() -> dict[str, Any]:
    """Return the time of creation (UTC) and the environment of this process, JSON-ready."""
    return {"created": _now(), **_environment()}


def dated_now(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance with the present time as that of creation, and all else as stated."""
    return {**stated, "created": _now()}


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


@lru_cache
def _environment() -> dict[str, Any]:
    return {
        "bob": __version__,
        "git": _git(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Return the commit of the running checkout and whether it has uncommitted changes.

    None for an installed package.
    """
    if not (CHECKOUT / ".git").exists():
        return None
    commit = _run_git("rev-parse", "HEAD").strip()
    if not commit:
        return None
    changes = _run_git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "modified": bool(changes)}


def _run_git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
