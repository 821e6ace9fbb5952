"""Files of Hugging Face repositories: from the hub's local cache, else downloaded and verified."""

import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from bob.errors import UnavailableError, first_line
from bob.io.files import is_disk_full

TIMEOUT_SECONDS = 10.0
"""For the hub's first response; its own client tries for half a minute per file."""
BLOCK_BYTES = 1 << 20


def hub_reachable() -> bool:
    """Return whether the hub, or the mirror in HF_ENDPOINT, responds; checked once per process.

    False if HF_HUB_OFFLINE forbids network access.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    return _responds(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")


def hub_file(
    subject: str,
    repository: str,
    names: Sequence[str],
    revision: str | None = None,
    *,
    offline: bool,
) -> Path:
    """Return the local path of the first of `names` that the repository contains.

    No request is made if the hub's cache contains one of them. A download uses HF_TOKEN, shows its
    progress, resumes where a connection stalled or broke (in steps of 10 MB; a new run starts the
    file again, which is how the hub's client works), and is checked against the SHA-256 under which
    the hub stores it.

    Parameters
    ----------
    subject
        What the file is for; begins every error message.
    """
    if cached := _cached(repository, names, revision):
        return cached
    place = _place(subject, repository)
    if offline or not hub_reachable():
        raise UnavailableError(
            f"{place} is not on this machine and the hub cannot be reached. "
            "Run once with a network, or set HF_HOME to a copy."
        )
    for name in names:
        if path := _downloaded(place, repository, name, revision):
            return path
    raise UnavailableError(
        f"{place} contains none of {', '.join(names)}; name its file as weights.file."
    )


def optional_file(
    subject: str, repository: str, name: str, revision: str | None = None, *, offline: bool
) -> Path | None:
    """Return the local path of a file that the repository may lack; None if it does.

    None also if the file is not cached and the hub cannot be reached. That a file does not exist is
    cached too, so the hub is queried once.
    """
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, name, revision=revision)
    if cached is None and not offline and hub_reachable():
        return _downloaded(_place(subject, repository), repository, name, revision)
    return Path(cached) if isinstance(cached, str) else None


def hub_snapshot(
    subject: str,
    repository: str,
    required: Sequence[str],
    optional: Sequence[str],
    revision: str | None = None,
    *,
    offline: bool,
) -> Path:
    """Return the cached folder with the first available file of `required` and all of `optional`.

    Files of `optional` that the repository does not contain are skipped.
    """
    folder = hub_file(subject, repository, required, revision, offline=offline).parent
    for name in optional:
        optional_file(subject, repository, name, revision, offline=offline)
    return folder


def file_sha256(path: Path) -> str:
    """Return the hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _place(subject: str, repository: str) -> str:
    return f"{subject}: hub repository {repository!r}"


def _cached(repository: str, names: Sequence[str], revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    paths = (try_to_load_from_cache(repository, name, revision=revision) for name in names)
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def _downloaded(place: str, repository: str, name: str, revision: str | None) -> Path | None:
    """Download a file and return its path; None if the repository does not contain it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        path = Path(hf_hub_download(repository, name, revision=revision))
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise UnavailableError(
                f"{place} was not downloaded ({first_line(error)}). Run again."
            ) from error
        return None
    except Exception as error:  # the client raises httpx errors, OSError and others, by version
        raise UnavailableError(f"{place} {_explanation(error, revision)}.") from error
    _verify(place, path)
    return path


def _verify(place: str, path: Path) -> None:
    """Check a download against the hub's SHA-256, which names the cached blob of large files."""
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and file_sha256(blob) != blob.name:
        path.unlink()
        blob.unlink(missing_ok=True)
        raise UnavailableError(
            f"{place}: {path.name!r} arrived with another SHA-256 than the hub states, "
            "and was removed. Run again."
        )


def _explanation(error: Exception, revision: str | None) -> str:
    """Say what the client's error means to a user, and the remedy."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if is_disk_full(error):
        return (
            "was not downloaded: the disk is full. "
            "Free some space, or set HF_HOME to a folder on another disk"
        )
    if isinstance(error, GatedRepoError):  # a subclass of RepositoryNotFoundError
        return "is gated: accept its terms on its page and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "does not exist, or is private: correct weights.hub, or set HF_TOKEN"
    if isinstance(error, RevisionNotFoundError):
        return f"has no revision {revision!r}: correct weights.revision"
    return f"was not downloaded ({first_line(error)}). Run again"


@lru_cache
def _responds(endpoint: str) -> bool:
    """Return whether the endpoint responds at all; a refusal counts."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(endpoint, method="HEAD"), timeout=TIMEOUT_SECONDS
        ):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
