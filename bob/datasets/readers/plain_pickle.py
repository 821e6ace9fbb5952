"""Safe loading of pickles of plain values and NumPy arrays: Revisited Oxford's ground truth.

Nothing else that a pickle may refer to is imported or called.
"""

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
"""Names that NumPy writes for arrays and numbers (the last two for their bytes).

None of them gives access to a file, a process or another name.
"""
_CORE = "numpy._core" if hasattr(np, "_core") else "numpy.core"
"""Name of NumPy's inner package: `_core` in NumPy 2, `core` in NumPy 1."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in ALLOWED:
            raise DatasetError(
                f"refers to {module}.{name}, which is not a plain value or an array. The file is "
                f"not a ground truth, or was tampered with"
            )
        factory: Callable[..., Any] = super().find_class(
            re.sub(r"numpy\._?core", _CORE, module), name
        )
        return factory


def load_plain_pickle(data: bytes, where: str) -> Any:
    """Return the values of a pickle; raise a DatasetError if it holds anything but plain values.

    `where` begins error messages.
    """
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="latin1").load()
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}.") from error
    except Exception as error:  # on damaged data pickle raises nearly anything
        raise DatasetError(
            f"{where}: not a complete pickle of plain values ({type(error).__name__}: {error}). "
            f"Download it again."
        ) from error
