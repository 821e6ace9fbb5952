"""What a pass reports while it works."""

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

    def embedded(self, images: int, spent: Spent) -> None:
        """Every backbone of the pass has embedded more images; stored ones cost nothing."""
