"""The digest of plain values, for keys."""

import json
from typing import Any

import xxhash


def digest(values: Any) -> str:
    """Hex digest (xxh3-128) of JSON-ready values: key order does not matter, everything else does."""
    return xxhash.xxh3_128_hexdigest(
        json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    )
