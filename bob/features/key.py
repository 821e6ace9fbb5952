"""What a feature row is a function of. Everything here is in the key, and nothing else is."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from bob.io.digest import digest

EXTRACTION_VERSION = 1
"""Raised when the same inputs would give other rows: decoding, cropping, normalising, pooling."""


@dataclass(frozen=True)
class FeatureKey:
    """Not in it, because rows do not depend on them: batch size, device, workers, cache path, the backbone's name."""

    weights_hash: str
    forward: dict[str, Any]
    """Loader, architecture, and the library version that defines the forward pass."""
    geometry: dict[str, Any]
    normalisation: dict[str, Any]
    pooling: str
    precision: str
    images: str
    """Fingerprint of the split's images in their order."""
    split: str
    stored: Literal["float32", "float16"] = "float32"
    """How rows are kept; float16 moves them by up to 5e-4 of their value."""
    pixels: str = ""
    """The libraries that decode and resize, by version: Pillow 13 resizes some sizes by other steps than Pillow 12. Empty for texts."""
    extraction: int = EXTRACTION_VERSION

    def digest(self) -> str:
        return digest(asdict(self))

    def __hash__(self) -> int:
        return hash(self.digest())
