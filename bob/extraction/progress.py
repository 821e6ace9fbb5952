"""What a pass tells while it works."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Spent:
    """What a block of images took."""

    decode_seconds: float = 0.0
    """Summed over workers."""
    waited_seconds: float = 0.0
    """In which a lane had nothing to embed, because decoding had not got there."""
    forward_seconds: float = 0.0
    write_seconds: float = 0.0


class Watcher(Protocol):
    """What a pass tells while it works."""

    def waiting(self) -> None:
        """Another process is computing the same features."""

    def embedded(self, images: int, spent: Spent) -> None:
        """Some more images are embedded by every backbone of the pass; those that were stored before took nothing."""
