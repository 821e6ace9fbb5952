"""Counts what the units on a cluster do, for the display of progress."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from bob.engine.progress import RemotelyEmbedded
from bob.engine.units import Unit
from bob.features.sharding import images_of

SPEED_SECONDS = 60.0
"""Time over which images per second are counted."""


class ClusterMeter:
    """Images that backbones embed on other machines."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self._counts: dict[str, Counter[str]] = {}
        """Unit → backbone → images."""
        self._new: list[RemotelyEmbedded] = []
        self._recent: deque[tuple[float, float]] = deque()
        """Times, and images that all backbones of a unit embedded."""

    def count(self, unit: Unit, backbone: str, images: int, seconds: float) -> None:
        """Count images that a backbone of a unit has embedded."""
        (image_pass,) = unit.plan.passes
        self._counts.setdefault(unit.id, Counter())[backbone] += images
        self._new.append(
            RemotelyEmbedded(image_pass.dataset, image_pass.split, backbone, images, seconds)
        )
        self._recent.append((self._clock(), images / len(image_pass.forwards)))

    def ended(self, unit: Unit) -> None:
        """Count the rest of a unit as done: it was stored already, or failed."""
        counted = self._counts.pop(unit.id, Counter())
        for image_pass in unit.plan.passes:
            images = (
                images_of(range(*unit.spans), image_pass.count) if unit.spans else image_pass.count
            )
            for forward in image_pass.forwards:
                left = images - counted[forward.backbone]
                if left > 0:
                    place = image_pass.dataset, image_pass.split, forward.backbone
                    self._new.append(RemotelyEmbedded(*place, left, 0.0))

    def images_per_s(self) -> float:
        """Return the images per second over the last minute."""
        now = self._clock()
        while self._recent and self._recent[0][0] < now - SPEED_SECONDS:
            self._recent.popleft()
        seconds = min(SPEED_SECONDS, now - self._start)
        return sum(images for _, images in self._recent) / seconds if seconds > 0 else 0.0

    def take(self) -> Sequence[RemotelyEmbedded]:
        """Return what was counted since the last call."""
        new, self._new = self._new, []
        return new
