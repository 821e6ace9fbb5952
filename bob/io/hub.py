"""Files of Hugging Face repositories: from the hub's cache without asking, else downloaded, checked, and every refusal told with its remedy."""

import errno
import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from bob.errors import UnavailableError

PATIENCE_SECONDS = 10.0
"""For the hub's first answer; its own client tries for half a minute per file before it gives up."""
BLOCK_BYTES = 1 << 20


def hub_reachable() -> bool:
    """Whether the hub, or the mirror that HF_ENDPOINT names, answers; False where HF_HUB_OFFLINE forbids to ask. Asked once per process."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    return _answers(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")


def hub_file(
    who: str, repository: str, names: Sequence[str], revision: str | None = None, *, offline: bool
) -> Path:
    """The first of `names` that the repository holds. `who` begins the messages.

    The hub is not asked where its cache has one of them. A download uses HF_TOKEN, shows its progress, goes on where a connection stalled or
    broke (in steps of 10 MB; another run begins the file anew: that is the hub's client's way), and is compared with the SHA-256 under which
    the hub keeps it.
    """
    if cached := _cached(repository, names, revision):
        return cached
    where = f"{who}: hub repository {repository!r}"
    if offline or not hub_reachable():
        raise UnavailableError(
            f"{where} is not on this machine and the hub cannot be reached. Run once with a network, or set HF_HOME to a copy."
        )
    for name in names:
        if path := _downloaded(where, repository, name, revision):
            return path
    raise UnavailableError(
        f"{where} holds none of {', '.join(names)}; name its file as weights.file."
    )


def optional_file(
    who: str, repository: str, name: str, revision: str | None = None, *, offline: bool
) -> Path | None:
    """A file that a repository may hold or not; None too where that cannot be asked. The hub is asked once: the cache keeps a no."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name, revision=revision)
    if found is None and not offline and hub_reachable():
        return _downloaded(f"{who}: hub repository {repository!r}", repository, name, revision)
    return Path(found) if isinstance(found, str) else None


def hub_snapshot(
    who: str,
    repository: str,
    one_of: Sequence[str],
    extras: Sequence[str],
    revision: str | None = None,
    *,
    offline: bool,
) -> Path:
    """The cached folder with one of the files `one_of` and those of `extras` that the repository holds."""
    folder = hub_file(who, repository, one_of, revision, offline=offline).parent
    for name in extras:
        optional_file(who, repository, name, revision, offline=offline)
    return folder


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _cached(repository: str, names: Sequence[str], revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name, revision=revision) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _downloaded(where: str, repository: str, name: str, revision: str | None) -> Path | None:
    """None where the repository does not hold the file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        path = Path(hf_hub_download(repository, name, revision=revision))
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise UnavailableError(
                f"{where} was not downloaded ({_first_line(error)}). Run again."
            ) from error
        return None
    except Exception as error:  # refusals, httpx's errors, OSError and more, by version and by what the network does
        raise UnavailableError(f"{where} {_problem(error, revision)}.") from error
    _check_content(where, path)
    return path


def _check_content(where: str, path: Path) -> None:
    """The hub keeps large files under their SHA-256, which is the name of the cached blob."""
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and file_sha256(blob) != blob.name:
        path.unlink()
        blob.unlink(missing_ok=True)
        raise UnavailableError(
            f"{where}: {path.name!r} arrived with another SHA-256 than the hub states, and was removed. Run again."
        )


def _problem(error: Exception, revision: str | None) -> str:
    """What the hub's error means to a user."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    remedies: dict[type[Exception], str] = {
        GatedRepoError: "is gated: accept its terms on its page and set HF_TOKEN",
        RepositoryNotFoundError: "does not exist, or is private: correct weights.hub, or set HF_TOKEN",
        RevisionNotFoundError: f"has no revision {revision!r}: correct weights.revision",
    }
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "was not downloaded: the disk is full. Free some space, or set HF_HOME to a folder on another disk"
    known = next((words for kind, words in remedies.items() if isinstance(error, kind)), None)
    return known or f"was not downloaded ({_first_line(error)}). Run again"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]


@lru_cache
def _answers(endpoint: str) -> bool:
    """Any answer counts, a refusal too."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(endpoint, method="HEAD"), timeout=PATIENCE_SECONDS
        ):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
