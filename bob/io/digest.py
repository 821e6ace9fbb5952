"""Digests of plain values, for keys."""

import json
from typing import Any

import xxhash


def digest(values: Any) -> str:
    """Return the hex digest (xxh3-128) of JSON-ready values, which ignores the order of keys."""
    return xxhash.xxh3_128_hexdigest(
        json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    )
