"""What a file is that was named as weights and holds none, from its first bytes."""

import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from bob.errors import BackboneError, UnavailableError

HEAD_BYTES = 512
"""Read of a file to recognise it."""
PICKLE_START = b"\x80"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_WEB_PAGE = re.compile(rb"\s*<(!doctype html|html|head|\?xml)", re.IGNORECASE)
_KINDS: Mapping[bytes, str] = {
    b"\x1f\x8b": "compressed by gzip: unpack it",
    b"BZh": "compressed by bzip2: unpack it",
    b"\xfd7zXZ": "compressed by xz: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it, and name the weights in it",
    b"Rar!": "a rar archive: unpack it, and name the weights in it",
    b"\x89HDF": "an HDF5 file, as Keras writes it: convert it to .safetensors",
    b"\x93NUMPY": "a NumPy array: convert the tensors to .safetensors",
    b"GGUF": "a GGUF file: convert it to .safetensors",
}
"""First bytes of a file → what it is, and what to do."""


def require_weights(subject: str, path: Path) -> None:
    """Raise UnavailableError where a file stands in for weights that are elsewhere.

    Such are pointers of Git LFS, and web pages that were saved instead of a download.
    """
    head = first_bytes(path)
    if head.startswith(_LFS_POINTER):
        size = re.search(rb"\bsize (\d+)", head)
        mib = f" of {int(size[1]) / 2**20:,.1f} MiB" if size else ""
        raise UnavailableError(
            f"{subject}: {str(path)!r} is a Git LFS pointer to weights{mib}, not the weights. Run "
            "`git lfs pull` in its repository (after `git lfs install`), or download the file."
        )
    if _WEB_PAGE.match(head):
        raise UnavailableError(
            f"{subject}: {str(path)!r} is a web page, not weights (it begins with "
            f"{head.strip()[:20]!r}). Remove it and download the file itself; its host may ask "
            "for a login or a confirmation."
        )


def require_pytorch(name: str, path: Path) -> None:
    """Raise BackboneError unless a file looks like tensors that PyTorch saved, with what it is.

    PyTorch's files are zip archives, formerly pickles. Its oldest format, a tar, is refused: the
    versions that still read it can be made to run code.
    """
    head = first_bytes(path)
    where = f"backbone {name!r}: {str(path)!r} is"
    if not head:
        raise BackboneError(f"{where} empty. Copy or download it again.")
    for start, kind in _KINDS.items():
        if head.startswith(start):
            raise BackboneError(f"{where} {kind}.")
    if not head.startswith(PICKLE_START) and tarfile.is_tarfile(path):
        raise BackboneError(f"{where} a tar archive: unpack it, and name the weights in it.")
    if zipfile.is_zipfile(path):
        _require_checkpoint_archive(where, path)


def _require_checkpoint_archive(where: str, path: Path) -> None:
    """Raise BackboneError unless a zip archive holds one pickle of tensors, and fits in memory."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [member.filename for member in members]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise BackboneError(
            f"{where} a TorchScript program, which contains code and is not run. Save its tensors "
            "where it was made: torch.save(torch.jit.load(FILE, map_location='cpu').state_dict(), "
            "'weights.pth')."
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise BackboneError(
            f"{where} a zip archive without a checkpoint of PyTorch (it contains "
            f"{', '.join(names[:3]) or 'nothing'}): unpack it, and name the weights in it."
        )
    packed = [member for member in members if member.compress_type != zipfile.ZIP_STORED]
    needed, free = sum(member.file_size for member in packed), psutil.virtual_memory().available
    if needed > free:
        raise BackboneError(
            f"{where} compressed, and {needed / 2**30:,.1f} GiB when unpacked; this machine has "
            f"{free / 2**30:,.1f} GiB of free memory."
        )


def is_safetensors(path: Path) -> bool:
    """Return whether a file is in the format of safetensors, by its name or its first bytes."""
    return path.suffix == ".safetensors" or first_bytes(path)[8:9] == b"{"


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""
