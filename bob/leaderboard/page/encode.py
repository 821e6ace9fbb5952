"""Arrays as text inside JSON: little-endian floats in base64, so that the page holds the very numbers of the files and reads them at once."""

import json
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import numpy as np


def float64s(values: Iterable[float | None]) -> str:
    """8 bytes each, at full precision; NaN where there is none."""
    return _floats(values, "<f8")


def float32s(values: Iterable[float | None]) -> str:
    """4 bytes each, about 7 digits; NaN where there is none."""
    return _floats(values, "<f4")


def _floats(values: Iterable[float | None], kind: str) -> str:
    return b64encode(
        np.array([np.nan if value is None else value for value in values], kind).tobytes()
    ).decode("ascii")


def script_json(value: Any) -> str:
    """JSON that may stand inside <script>: no character of it can end the element or start a comment."""
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
