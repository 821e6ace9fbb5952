"""Feature files as named arrays, read as data only: nothing in them is executed.

Large arrays stay in the file, mapped, where its format allows: .npz that is not compressed, folders of .npy, .safetensors, .pt.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bob.errors import DatasetError
from bob.precomputed.tables import read_table

SUFFIXES = (".npz", ".safetensors", ".pt", ".pth", ".csv", ".parquet")
MAPPED_BYTES = 2**20
"""Smaller arrays are read: a mapping is a file handle of its own."""


class Stored(NamedTuple):
    """One array of a file."""

    values: NDArray[Any]
    """Numbers or text; bfloat16, which NumPy does not have, as the same numbers in float32."""
    dtype: str
    """As in the file."""


def read_arrays(path: Path) -> dict[str, Stored]:
    """Every array of a file, or of a folder of .npy files, by its name; DatasetError where the file is none of these or damaged."""
    readers: dict[str, Callable[[Path], Mapping[str, Any]]] = {
        ".npz": _npz,
        ".safetensors": _safetensors,
        ".pt": _torch,
        ".pth": _torch,
        ".csv": read_table,
        ".parquet": read_table,
    }
    if not path.exists():
        raise DatasetError(f"{path}: there is no such file.")
    suffix = path.suffix.lower()
    if not path.is_dir() and suffix not in readers:
        raise DatasetError(
            f"{path}: must end in {', '.join(SUFFIXES)}, or be a folder with x.npy and y.npy; got {suffix or 'no ending'!r}."
        )
    try:
        found = _folder(path) if path.is_dir() else readers[suffix](path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return {
        name: values if isinstance(values, Stored) else _stored(values)
        for name, values in found.items()
    }


def _stored(values: Any) -> Stored:
    values = np.asanyarray(values)  # a mapping stays one
    return Stored(values, str(values.dtype))


def _folder(path: Path) -> dict[str, NDArray[Any]]:
    files = sorted(path.glob("*.npy"))
    if not files:
        raise DatasetError(
            f"{path}: holds no .npy files; a folder of features has x.npy and y.npy, or x_train.npy and so on."
        )
    return {file.stem: _npy(file) for file in files}


def _npy(file: Path) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(
            file, mmap_mode="r" if file.stat().st_size > MAPPED_BYTES else None, allow_pickle=False
        )
    except ValueError as error:
        raise DatasetError(_unreadable(str(file), error)) from error
    return values


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as loaded:
            mapped = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if _is_mapped(info)
            }
            return {name: _array(path, loaded, name, mapped.get(name)) for name in loaded.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise DatasetError(
            f"{path}: is no whole .npz file ({error}). Was it copied in full?"
        ) from error


def _array(
    path: Path, loaded: Mapping[str, NDArray[Any]], name: str, mapped: zipfile.ZipInfo | None
) -> NDArray[Any]:
    try:
        return _member(path, mapped) if mapped else loaded[name]
    except (ValueError, zlib.error) as error:
        raise DatasetError(_unreadable(f"{path}: {name}", error)) from error


def _unreadable(where: str, error: Exception) -> str:
    if "Object arrays" in str(error):
        return f"{where}: holds Python objects, which are not read, since they can run code. Save text as np.array(values, dtype=str)."
    return f"{where}: is no whole array of NumPy's ({str(error).partition('.')[0]})."


def _is_mapped(info: zipfile.ZipInfo) -> bool:
    return info.compress_type == zipfile.ZIP_STORED and info.file_size > MAPPED_BYTES


def _member(path: Path, info: zipfile.ZipInfo) -> NDArray[Any]:
    """One uncompressed array of an archive, mapped where it lies."""
    with path.open("rb") as file:
        file.seek(
            info.header_offset + 26
        )  # a zip member's own header: 30 bytes, the last four the lengths of its name and extra field
        lengths = file.read(4)
        file.seek(
            info.header_offset
            + 30
            + int.from_bytes(lengths[:2], "little")
            + int.from_bytes(lengths[2:], "little")
        )
        shape, by_column, dtype = _npy_header(file)
        if dtype.hasobject:
            raise ValueError("Object arrays")
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if by_column else "C")


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, by_column, dtype = read(file)
    return shape, by_column, dtype


def _safetensors(path: Path) -> dict[str, Any]:
    """Tensors; of the header, text columns as JSON lists, since the format has no tensors of text."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            told = {
                name: listed
                for name, text in (file.metadata() or {}).items()
                if (listed := _json_list(text)) is not None
            }
            return told | {name: _tensor(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except SafetensorError as error:
        raise DatasetError(f"{path}: is no whole .safetensors file ({error}).") from error


def _json_list(text: str) -> list[str] | None:
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return [str(value) for value in values] if isinstance(values, list) else None


def _tensor(tensor: Any) -> Stored:
    import torch

    plain = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
    return Stored(plain.numpy(), str(tensor.dtype).removeprefix("torch."))


def _torch(path: Path) -> dict[str, Any]:
    """A dict of tensors and lists of text, or a dict of such dicts by split: {"train": {"x": ...}} as {"train_x": ...}."""
    import torch

    try:
        found = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except Exception as error:  # the unpickler's own errors, torch's, and whatever a damaged file makes either raise
        reason = str(error).partition("\n")[0]
        raise DatasetError(
            f"{path}: holds other things than a dict of tensors and lists of text, which are not read ({reason})."
        ) from error
    if not isinstance(found, dict):
        raise DatasetError(
            f"{path}: must hold a dict such as {{'x': tensor, 'y': tensor}}; got {type(found).__name__}."
        )
    flat: dict[str, Any] = {}
    for name, value in found.items():
        flat |= (
            {f"{name}_{inner}": one for inner, one in value.items()}
            if isinstance(value, dict)
            else {str(name): value}
        )
    return {
        name: _tensor(value) if isinstance(value, torch.Tensor) else _listed(value)
        for name, value in flat.items()
    }


def _listed(value: Any) -> NDArray[Any]:
    """A list of text or numbers; of anything else, objects, which are no array that is known."""
    plain = isinstance(value, list | tuple) and all(
        isinstance(one, str | int | float) for one in value
    )
    return np.array(value) if plain else np.array(value, dtype=object)
