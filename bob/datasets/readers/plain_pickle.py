"""Pickles of plain values and numpy arrays, as the ground truth of Revisited Oxford is one. Nothing else that a pickle may ask for is run."""

import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from bob.errors import DatasetError

ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
    ("__builtin__", "bytes"),
}
"""The names that numpy writes for arrays and numbers (the last two for their bytes). None of them can reach a file, a process or another name."""
_CORE = "numpy._core" if hasattr(np, "_core") else "numpy.core"
"""What numpy 2 calls its inner package, and numpy 1 did."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in ALLOWED:
            raise DatasetError(
                f"asks for {module}.{name}, which is no plain value: not a ground truth, or one that was tampered with"
            )
        found: Callable[..., Any] = super().find_class(
            re.sub(r"numpy\._?core", _CORE, module), name
        )
        return found


def load_plain(data: bytes, where: str) -> Any:
    """The values; DatasetError where the pickle holds anything else."""
    try:
        return _Plain(io.BytesIO(data), encoding="latin1").load()
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}.") from error
    except Exception as error:  # on damaged data pickle raises nearly anything
        raise DatasetError(
            f"{where}: is no whole pickle of plain values ({type(error).__name__}: {error})."
        ) from error
