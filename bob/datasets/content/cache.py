"""Cache of arrays that take a pass over a file to compute, so that the file is not read again."""

import contextlib
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import StoreError
from bob.io.files import read_regular, write_atomically

Arrays = Mapping[str, NDArray[Any]]


def cached_arrays(path: Path, compute: Callable[[], Arrays]) -> Arrays:
    """Load the arrays in the file `path`, or compute them and write that file.

    A damaged file counts as absent. If the disk is full, the arrays are returned but not cached.
    """
    if (cached := _load(path)) is not None:
        return cached
    arrays: dict[str, Any] = dict(compute())
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with contextlib.suppress(StoreError):
        write_atomically(path, buffer.getvalue())
    return arrays


def _load(path: Path) -> Arrays | None:
    try:
        with np.load(io.BytesIO(read_regular(path)), allow_pickle=False) as values:
            return {name: values[name] for name in values.files}
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
