"""What stored features depend on. Everything here is in the key, and nothing else is."""

import functools
import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

from bob.features.sharding import Sharding
from bob.io.digest import digest

EXTRACTION_VERSION = 2
"""Raised where equal inputs would give other features: decoding, cropping, normalising, pooling."""
ITEM_BYTES = {"float32": 4, "float16": 2}


class StoreKey(Protocol):
    """Identifies one folder of shards: features, or statistics accumulated over features."""

    def digest(self) -> str: ...
    @property
    def sharding(self) -> Sharding: ...


class _Digested:
    """A frozen dataclass that equals another where all of its fields do."""

    @functools.cached_property
    def _digest(self) -> str:
        return digest(_plain(self))

    def digest(self) -> str:
        """Return the key as a hex digest."""
        return self._digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)


def _plain(key: Any) -> dict[str, Any]:
    """Return a key as `asdict` does, without copying the values of its fields."""
    values = {field.name: getattr(key, field.name) for field in fields(key)}
    return {n: _plain(v) if isinstance(v, _Digested) else v for n, v in values.items()}


@dataclass(frozen=True, eq=False)
class FeatureKey(_Digested):
    """Identity of the features of one split, as one output of one backbone gives them.

    Batch size, device, number of workers, runtime, engine, cache path and the backbone's name are
    not in it, because features do not depend on them.
    """

    weights_hash: str
    forward: dict[str, Any]
    """Loader, architecture, and the version of the library that defines the forward pass."""
    geometry: dict[str, Any]
    normalisation: dict[str, Any]
    output: str
    """The output as text; see `bob.specs.output.Output`."""
    shape: tuple[int, ...]
    """Shape of the features of one image: (D,) or (H, W, D)."""
    precision: str
    images: str
    """Fingerprint of the split's images in their order."""
    count: int
    """Number of images."""
    split: str
    stored: Literal["float32", "float16"] = "float32"
    """Data type in the store; float16 changes values by up to 5e-4 of their size."""
    alpha: str | None = None
    """The background of transparent images; None where no image can be transparent."""
    pixels: str = ""
    """Versions of the libraries that decode and resize: Pillow 13 resizes some sizes in another
    order of steps than Pillow 12. Empty for texts."""
    extraction: int = EXTRACTION_VERSION

    @property
    def sharding(self) -> Sharding:
        """Shards of a bounded number of bytes."""
        return Sharding.by_bytes(self.count, self.shape, ITEM_BYTES[self.stored])

    def bytes(self) -> int:
        """Return the size of all features in the store."""
        return self.count * math.prod(self.shape) * ITEM_BYTES[self.stored]


@dataclass(frozen=True, eq=False)
class StatisticsKey(_Digested):
    """Identity of statistics accumulated over the features of one split."""

    features: FeatureKey
    accumulator: dict[str, Any] = field(default_factory=dict)
    """Name, version and settings of the accumulator."""
    targets: str = ""
    """Fingerprint of the targets that the accumulator reads beside the features."""
    after: tuple[str, ...] = ()
    """Digests of the keys of the statistics on which these depend."""

    @property
    def sharding(self) -> Sharding:
        """One shard per span: sums do not grow with the number of images."""
        return Sharding.by_span(self.features.count)
