"""Listeners of passes."""

from bob.extraction.progress import Spent


class Count:
    """A progress listener that counts the images."""

    def __init__(self) -> None:
        self.images = 0

    def waiting(self) -> None: ...

    def embedded(self, images: int, spent: Spent) -> None:
        self.images += images
