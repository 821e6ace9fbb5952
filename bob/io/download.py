"""Downloads of checkpoints from the web: resumable, verified, and either complete or absent."""

import contextlib
import errno
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bob.errors import UnavailableError
from bob.io.exclusive import exclusive
from bob.io.files import is_disk_full
from bob.io.hub import BLOCK_BYTES, file_sha256
from bob.io.paths import default_cache, download_path

TIMEOUT_SECONDS = 30.0
"""How long a connection may deliver no byte before it counts as stalled."""
ATTEMPTS = 3
USER_AGENT = {"User-Agent": "bob-bench"}
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416


def fetch(subject: str, url: str, sha256: str | None, *, offline: bool) -> Path:
    """Return the local copy of `url`, downloading it the first time.

    Parameters
    ----------
    subject
        What the file is for; begins every error message.
    sha256
        Expected SHA-256 of the file; a download with another one is removed and refused.
    """
    default_cache()  # raises where there is no folder to download to
    path = download_path(url)
    if path.exists():
        return path
    if offline:
        raise UnavailableError(
            f"{subject}: {url} is not on this machine. "
            f"Run once without --offline, or put the file at {str(path)!r}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.with_name("lock")):
        if not path.exists():
            _download(subject, url, sha256, path)
    return path


def _download(subject: str, url: str, sha256: str | None, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _resume(url, part)
            break
        except (OSError, EOFError) as error:
            if attempt == ATTEMPTS or _is_permanent(error):
                raise UnavailableError(f"{subject}: {url} {_explanation(error)}.") from error
    if sha256 and (actual := file_sha256(part)) != sha256:
        part.unlink()
        raise UnavailableError(
            f"{subject}: {url} has SHA-256 {actual}, not weights.sha256 {sha256}: removed. "
            "Correct the entry, or report it to its author."
        )
    part.replace(path)


def _resume(url: str, part: Path) -> None:
    """Append what is missing to `part`; EOFError if the connection ends early."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={**USER_AGENT, "Range": f"bytes={start}-"})
    try:
        response: Any = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE or not start:
            raise
        part.unlink()
        return _resume(url, part)
    with response, part.open("ab" if response.status == PARTIAL_CONTENT else "wb") as file:
        length = response.headers.get("Content-Length")
        written = _copy(response, file, part.name.removesuffix(".part"), int(length or 0))
    if length is not None and written < int(length):
        raise EOFError(f"{written:,} of {int(length):,} bytes arrived")
    return None


def _copy(response: Any, file: BinaryIO, name: str, total: int) -> int:
    """Copy the response and return the number of bytes, with a progress bar on a terminal."""
    written = 0
    with _progress(name, total) as advance:
        # read1 returns what has arrived, so that a stalled connection does not lose it.
        while block := response.read1(BLOCK_BYTES):
            file.write(block)
            written += len(block)
            advance(len(block))
    return written


@contextlib.contextmanager
def _progress(name: str, total: int) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    console = Console(stderr=True)
    with Progress(
        *Progress.get_default_columns(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(name, total=total or None)
        yield lambda n: bar.advance(task, n)


def _is_permanent(error: Exception) -> bool:
    """Return whether a retry would fail in the same way."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500
    forbidden = isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS)
    return forbidden or is_disk_full(error)


def _explanation(error: Exception) -> str:
    """Say what went wrong with the URL, and the remedy."""
    if isinstance(error, urllib.error.HTTPError):
        meanings = {401: "needs a login", 403: "is forbidden", 404: "does not exist"}
        meaning = meanings.get(error.code, f"was answered with status {error.code}")
        return f"{meaning} (HTTP {error.code}); correct weights.url"
    if is_disk_full(error):
        return (
            "was not downloaded: the disk is full. "
            "Free some space, or set BOB_CACHE to a folder on another disk"
        )
    return f"was not downloaded ({str(error) or type(error).__name__}). Run again to resume"
