"""Feature files as named arrays, read as data only: nothing in a file is executed.

Large arrays stay in the file and are memory-mapped where the format allows it: uncompressed .npz,
folders of .npy, .safetensors and .pt.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bob.errors import BobError, DatasetError, first_line
from bob.precomputed.tables import read_table

SUFFIXES = (".npz", ".safetensors", ".pt", ".pth", ".csv", ".parquet")
MAPPED_BYTES = 2**20
"""Arrays up to this size are read instead of mapped: each mapping needs a file handle."""
_ZIP_HEADER_BYTES = 30
"""Fixed part of a zip member's own header, which ends with the lengths of name and extra field."""


class FileArray(NamedTuple):
    """One array of a file."""

    values: NDArray[Any]
    """Numbers or text. bfloat16, which NumPy lacks, is converted to the same numbers in float32."""
    dtype: str
    """Data type in the file."""


def read_arrays(path: Path) -> dict[str, FileArray]:
    """Return the arrays of a file, or of a folder of .npy files, by name.

    DatasetError where the file is missing, damaged or of another format.
    """
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
            f"{path}: must end in {', '.join(SUFFIXES)}, or be a folder with x.npy and y.npy; got "
            f"{suffix or 'no suffix'!r}."
        )
    try:
        arrays = _folder(path) if path.is_dir() else readers[suffix](path)
    except BobError:
        raise
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # on damaged data, the parsers raise nearly anything
        raise DatasetError(
            f"{path}: is damaged, or not of the format that its name says ({first_line(error)}). "
            "Copy or write it again."
        ) from error
    return {
        name: values if isinstance(values, FileArray) else _with_dtype(values)
        for name, values in arrays.items()
    }


def _with_dtype(values: Any) -> FileArray:
    values = np.asanyarray(values)  # keeps memory maps
    return FileArray(values, str(values.dtype))


# --- NumPy


def _folder(path: Path) -> dict[str, NDArray[Any]]:
    files = sorted(path.glob("*.npy"))
    if not files:
        raise DatasetError(
            f"{path}: holds no .npy files; a folder of features holds x.npy and y.npy, or "
            "x_train.npy, y_train.npy and so on."
        )
    return {file.stem: _npy(file) for file in files}


def _npy(file: Path) -> NDArray[Any]:
    mode = "r" if file.stat().st_size > MAPPED_BYTES else None
    try:
        values: NDArray[Any] = np.load(file, mmap_mode=mode, allow_pickle=False)  # type: ignore[arg-type]
    except ValueError as error:
        raise DatasetError(_invalid_array(str(file), error)) from error
    return values


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as loaded:
            mappable = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if _is_mappable(info)
            }
            return {
                name: _npz_array(path, loaded, name, mappable.get(name)) for name in loaded.files
            }
    except (zipfile.BadZipFile, EOFError) as error:
        raise DatasetError(
            f"{path}: is not a complete .npz file ({error}). Was it copied in full?"
        ) from error


def _npz_array(
    path: Path, loaded: Mapping[str, NDArray[Any]], name: str, mappable: zipfile.ZipInfo | None
) -> NDArray[Any]:
    try:
        return _map_member(path, mappable) if mappable else loaded[name]
    except (ValueError, zlib.error) as error:
        raise DatasetError(_invalid_array(f"{path}: {name}", error)) from error


def _invalid_array(where: str, error: Exception) -> str:
    """Return the message about an array that NumPy refuses to read."""
    if "Object arrays" in str(error):
        return (
            f"{where}: holds Python objects, which are not read because they can run code. Save "
            "text as np.array(values, dtype=str)."
        )
    return f"{where}: is not a complete NumPy array ({str(error).partition('.')[0]})."


def _is_mappable(info: zipfile.ZipInfo) -> bool:
    return info.compress_type == zipfile.ZIP_STORED and info.file_size > MAPPED_BYTES


def _map_member(path: Path, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Map an uncompressed array of an archive into memory."""
    with path.open("rb") as file:
        file.seek(info.header_offset + _ZIP_HEADER_BYTES - 4)
        name_bytes, extra_bytes = (int.from_bytes(file.read(2), "little") for _ in range(2))
        file.seek(info.header_offset + _ZIP_HEADER_BYTES + name_bytes + extra_bytes)
        shape, by_column, dtype = _npy_header(file)
        if dtype.hasobject:
            raise ValueError("Object arrays")
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if by_column else "C")


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the array is in Fortran order, and dtype."""
    if np.lib.format.read_magic(file) == (1, 0):
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, by_column, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, by_column, dtype


# --- safetensors and PyTorch


def _safetensors(path: Path) -> dict[str, Any]:
    """Return tensors, and columns of text from JSON lists in the header.

    The format has no tensors of text.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = {name: _json_list(text) for name, text in (file.metadata() or {}).items()}
            texts = {name: values for name, values in metadata.items() if values is not None}
            names = file.keys()  # not a mapping
            return texts | {name: _tensor(file.get_tensor(name)) for name in names}
    except SafetensorError as error:
        raise DatasetError(f"{path}: is not a complete .safetensors file ({error}).") from error


def _json_list(text: str) -> list[str] | None:
    """Return the strings of a JSON list; None for other text."""
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return [str(value) for value in values] if isinstance(values, list) else None


def _tensor(tensor: Any) -> FileArray:
    import torch

    plain = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
    return FileArray(plain.numpy(), str(tensor.dtype).removeprefix("torch."))


def _torch(path: Path) -> dict[str, Any]:
    """Return the tensors and lists of a dict, or of one dict per split.

    {"train": {"x": ...}} is read as {"train_x": ...}.
    """
    import torch

    try:
        loaded = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except Exception as error:  # the unpickler's own errors, torch's, and those of damaged files
        raise DatasetError(
            f"{path}: holds something other than a dict of tensors and lists of text, which is not "
            f"read ({first_line(error)})."
        ) from error
    if not isinstance(loaded, dict):
        raise DatasetError(
            f"{path}: must hold a dict such as {{'x': tensor, 'y': tensor}}; got "
            f"{type(loaded).__name__}."
        )
    flat: dict[str, Any] = {}
    for name, value in loaded.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{inner}": values for inner, values in value.items()}
        else:
            flat[str(name)] = value
    return {
        name: _tensor(value) if isinstance(value, torch.Tensor) else _array_of(value)
        for name, value in flat.items()
    }


def _array_of(value: Any) -> NDArray[Any]:
    """Return a list of text or numbers as an array, and anything else as an array of objects."""
    is_plain = isinstance(value, list | tuple) and all(
        isinstance(item, str | int | float) for item in value
    )
    return np.array(value) if is_plain else np.array(value, dtype=object)
