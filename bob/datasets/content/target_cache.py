"""A cache of the targets of pixels: several backbones of a pass read the same ones in turn."""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

CACHE_BYTES = 96 * 2**20
"""Most bytes that are kept: masks of a block of 256 images of 400 x 450 pixels."""
ArrayT = TypeVar("ArrayT", bound=NDArray[Any])
_CACHES: "weakref.WeakSet[TargetCache[Any]]" = weakref.WeakSet()


def forget_targets() -> None:
    """Empty all caches: after a pass, other images are read."""
    for cache in list(_CACHES):
        cache.clear()


class TargetCache(Generic[ArrayT]):
    """Reads arrays, and keeps those that were read last. Safe to call from several threads."""

    def __init__(self, read: Callable[[int], ArrayT], most_bytes: int = CACHE_BYTES) -> None:
        self._read, self._most_bytes = read, most_bytes
        self._targets: OrderedDict[int, ArrayT] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        _CACHES.add(self)

    def clear(self) -> None:
        """Forget what was read."""
        with self._lock:
            self._targets.clear()
            self._bytes = 0

    def __call__(self, position: int) -> ArrayT:
        """Return the target of an image, which is read-only."""
        with self._lock:
            if position in self._targets:
                self._targets.move_to_end(position)
                return self._targets[position]
        target = self._read(position)
        self.keep(position, target)
        return target

    def keep(self, position: int, target: ArrayT) -> None:
        """Keep a target that was made together with an image or with another target."""
        target.setflags(write=False)
        with self._lock:
            if position not in self._targets:
                self._targets[position] = target
                self._bytes += target.nbytes
            while self._bytes > self._most_bytes and len(self._targets) > 1:
                self._bytes -= self._targets.popitem(last=False)[1].nbytes
