"""Text encodings of the page's data.

Arrays travel inside JSON as little-endian floats in base64, so that the page holds exactly the
numbers of the files and decodes them at once.
"""

import json
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def float64s(values: Iterable[float | None]) -> str:
    """Encode values with 8 bytes each, at full precision; None becomes NaN."""
    return _floats(values, "<f8")


def float32s(values: Iterable[float | None]) -> str:
    """Encode values with 4 bytes each, about 7 digits; None becomes NaN."""
    return _floats(values, "<f4")


def _floats(values: Iterable[float | None], dtype: str) -> str:
    array = np.array([np.nan if value is None else value for value in values], dtype)
    return b64encode(array.tobytes()).decode("ascii")


def bits(values: NDArray[np.bool_]) -> str:
    """Encode booleans (N,) with 1 bit each, the first one as the lowest bit of the first byte."""
    return b64encode(np.packbits(values, bitorder="little").tobytes()).decode("ascii")


def script_json(value: Any) -> str:
    """Return JSON that is safe inside <script>: it cannot close the element or open a comment."""
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    )
    return (
        text.replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )
