"""Progress of a pass, as its listeners receive it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Spent:
    """Seconds that a block of images cost."""

    decode_seconds: float = 0.0
    """Summed over workers."""
    waited_seconds: float = 0.0
    """Time in which a device had nothing to embed, because decoding was slower."""
    forward_seconds: float = 0.0
    write_seconds: float = 0.0


class ProgressListener(Protocol):
    """Receives the progress of a pass."""

    def waiting(self) -> None:
        """Another process is computing the same features."""

    def stage(self, name: str, subject: str) -> None:
        """A stage begins: `loading`, `tuning` or `embedding` a backbone, or `scoring` a cell."""

    def forwarded(self, backbone: str, images: int, seconds: float) -> None:
        """One backbone has embedded more images."""

    def embedded(self, images: int, spent: Spent) -> None:
        """Every backbone of the pass has embedded more images; stored ones cost nothing."""


class SilentListener:
    """A listener that ignores everything, to be overridden in parts."""

    def waiting(self) -> None: ...

    def stage(self, name: str, subject: str) -> None: ...

    def forwarded(self, backbone: str, images: int, seconds: float) -> None: ...

    def embedded(self, images: int, spent: Spent) -> None: ...
