"""Listeners of passes."""

from bob.extraction.progress import SilentListener, Spent


class Count(SilentListener):
    """A progress listener that counts the images."""

    def __init__(self) -> None:
        self.images = 0

    def embedded(self, images: int, spent: Spent) -> None:
        self.images += images
