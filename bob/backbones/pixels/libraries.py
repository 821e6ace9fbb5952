"""The libraries on which the pixels of a crop depend."""

import functools
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any


def pixel_libraries(facts: Mapping[str, Any]) -> str:
    """Return the libraries, with versions, that a geometry's pixels depend on."""
    fast = ["torchvision"] if facts.get("preprocessing") == "fast" else []
    return ", ".join(f"{library} {_version(library)}" for library in ("pillow", *fast))


@functools.cache
def _version(library: str) -> str:
    """Return the version of an installed package, which is read from a file once."""
    return version(library)
