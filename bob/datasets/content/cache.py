"""Arrays that took a pass over a file to make, kept beside the features so that the file is not read, or fetched, for them again."""

import contextlib
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import StoreError
from bob.io.files import write_atomically

Arrays = Mapping[str, NDArray[Any]]


def remembered_arrays(memory: Path, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays in this file, else computed and written there. A damaged file is as good as none; a full disk costs the memory, not the run."""
    if (known := _recall(memory)) is not None:
        return known
    arrays: dict[str, Any] = dict(compute())
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with contextlib.suppress(StoreError):
        write_atomically(memory, buffer.getvalue())
    return arrays


def _recall(memory: Path) -> Arrays | None:
    try:
        with np.load(io.BytesIO(memory.read_bytes()), allow_pickle=False) as values:
            return {name: values[name] for name in values.files}
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
