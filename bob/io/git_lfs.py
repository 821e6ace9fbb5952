"""Pointers of Git LFS: small text files that a clone holds in place of large ones."""

from pathlib import Path

from bob.io.names import printable

_BEGINNING = b"version https://git-lfs.github.com/spec/"
LARGEST_BYTES = 1024
"""Size below which every pointer is, by the specification of Git LFS."""


def is_pointer(data: bytes) -> bool:
    """Return whether the first bytes of a file are those of a pointer."""
    return data.startswith(_BEGINNING)


def is_pointer_file(path: Path) -> bool:
    """Return whether a file is a pointer; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return is_pointer(file.read(len(_BEGINNING)))
    except OSError:
        return False


def pointer_message(path: Path) -> str:
    """Return what to do about a pointer, as a sentence."""
    return (
        f"'{printable(str(path))}' is a pointer of Git LFS, not the file itself. "
        "Run `git lfs pull` in its repository."
    )
