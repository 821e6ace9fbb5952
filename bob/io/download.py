"""A checkpoint from the web: resumed where it stopped, shown as it comes, checked, and whole or absent."""

import contextlib
import errno
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from bob.errors import UnavailableError
from bob.io.hub import BLOCK_BYTES, file_sha256
from bob.io.paths import download_path

PATIENCE_SECONDS = 30.0
"""Without a byte, before a connection counts as stalled."""
ATTEMPTS = 3
AGENT = {"User-Agent": "bob-bench"}
PARTIAL, RANGE_NOT_SATISFIABLE = 206, 416


def fetch(who: str, url: str, sha256: str | None, *, offline: bool) -> Path:
    """The file of `url` on this machine, downloaded once. `who` begins the messages."""
    path = download_path(url)
    if path.exists():
        return path
    if offline:
        raise UnavailableError(
            f"{who}: {url} is not on this machine. Run once without --offline, or put the file at {str(path)!r}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name("lock")):
        if not path.exists():
            _download(who, url, sha256, path)
    return path


def _download(who: str, url: str, sha256: str | None, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _go_on(url, part)
            break
        except (OSError, EOFError) as error:
            if attempt == ATTEMPTS or _is_final(error):
                raise UnavailableError(f"{who}: {url} {_problem(error)}.") from error
    if sha256 and (found := file_sha256(part)) != sha256:
        part.unlink()
        raise UnavailableError(
            f"{who}: {url} has SHA-256 {found}, not weights.sha256 {sha256}: removed; correct the entry, or tell its author."
        )
    part.replace(path)


def _go_on(url: str, part: Path) -> None:
    """Adds what is missing to `part`; EOFError where the connection ends early."""
    begun = part.stat().st_size if part.exists() else 0
    try:
        answer: Any = urllib.request.urlopen(
            urllib.request.Request(url, headers={**AGENT, "Range": f"bytes={begun}-"}),
            timeout=PATIENCE_SECONDS,
        )
    except urllib.error.HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE or not begun:
            raise
        part.unlink()
        return _go_on(url, part)
    with answer, part.open("ab" if answer.status == PARTIAL else "wb") as file:
        announced = answer.headers.get("Content-Length")
        written = _copy(answer, file, part.name.removesuffix(".part"), int(announced or 0))
    if announced is not None and written < int(announced):
        raise EOFError(f"{written:,} of {int(announced):,} bytes arrived")
    return None


def _copy(answer: Any, file: BinaryIO, name: str, total: int) -> int:
    """Bytes copied, with a progress bar where someone watches."""
    written = 0
    with _progress(name, total) as advance:
        while block := answer.read1(
            BLOCK_BYTES
        ):  # what has come, so that a stalled connection keeps it
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


def _is_final(error: Exception) -> bool:
    """Asking again would not help."""
    full = isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EACCES,
        errno.EROFS,
    )
    return full or (isinstance(error, urllib.error.HTTPError) and error.code < 500)


def _problem(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        words = {401: "needs a login", 403: "is refused", 404: "does not exist"}.get(
            error.code, f"is answered with status {error.code}"
        )
        return f"{words} (HTTP {error.code}); correct weights.url"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "was not downloaded: the disk is full. Free some space, or set BOB_CACHE to a folder on another disk"
    return f"was not downloaded ({str(error) or type(error).__name__}). Run again to go on"
