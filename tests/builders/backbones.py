"""Backbones."""

from bob.extraction.progress import Spent


class Count:
    """A watcher that counts."""

    def __init__(self) -> None:
        self.images = 0

    def waiting(self) -> None: ...

    def embedded(self, images: int, spent: Spent) -> None:
        self.images += images
