"""Under what circumstances a record came about."""

import datetime
import importlib.metadata
import platform
import subprocess
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
    """When, with which versions, from which commit."""
    return {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        **_circumstances(),
    }


@lru_cache
def _circumstances() -> dict[str, Any]:
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
    """Commit of the checkout that runs, and whether it holds other changes; None in an installed copy."""
    if not (CHECKOUT / ".git").exists():
        return None
    commit = _ask_git("rev-parse", "HEAD")
    return (
        {
            "commit": commit.strip(),
            "modified": bool(_ask_git("status", "--porcelain", "--untracked-files=no")),
        }
        if commit
        else None
    )


def _ask_git(*words: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
