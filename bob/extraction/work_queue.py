"""The spans that are still to be computed, shared among devices, processes and hosts.

Every span is handed out once: within a process by a lock, among processes by leases in the shared
folder of the store.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bob.features.key import StoreKey
from bob.features.sharding import span_images
from bob.features.store import FeatureStore
from bob.io.leases import Lease

POLL_SECONDS = 0.2
"""Interval at which a process that waits for others looks again."""


@dataclass(frozen=True, eq=False)
class Span:
    """Consecutive images to embed, and the shards of each key that are missing of them."""

    number: int
    images: range
    missing: Mapping[StoreKey, Sequence[int]]
    leases: Sequence[Lease]
    is_repeated: bool
    """Whether this process has computed the span for other keys already."""

    def release(self) -> None:
        for lease in self.leases:
            lease.release()


class SpanQueue:
    """The spans of a split of which some key lacks shards, each handed out once."""

    def __init__(
        self,
        store: FeatureStore,
        keys: Sequence[StoreKey],
        count: int,
        on_wait: Callable[[], None] = lambda: None,
        on_stored: Callable[[int], None] = lambda _: None,
        spans: range | None = None,
    ) -> None:
        """Look for the missing shards of `keys` over `count` images, or over some spans of them.

        `on_stored` is called with the number of images of each span that others have stored.
        """
        self._store, self._on_wait, self._on_stored = store, on_wait, on_stored
        self._count, self._images = count, span_images(count)
        self._lock, self._has_waited = threading.Lock(), False
        self._leased, self._handed_out = set[Span](), set[int]()
        missing = {key: set(store.missing(key, spans)) for key in keys}
        self._pending = {
            number: [key for key in keys if missing[key].intersection(key.sharding.of_span(number))]
            for number in spans or range(-(-count // self._images))
        }
        self._settle()

    def next(self, *, wait: bool) -> Span | None:
        """Return the next span that nobody else computes.

        None when every shard exists; or, without `wait`, while others compute those that are left.
        A caller that waits must have finished its own spans: others may be waiting for them.
        """
        while True:
            with self._lock:
                span = next(filter(None, map(self._acquire, list(self._pending))), None)
                self._settle()
                if span or not (wait and self._pending):
                    return span
            self._wait()

    def drop(self, keys: Iterable[StoreKey]) -> None:
        """Stop handing out work for some keys."""
        dropped = set(keys)
        with self._lock:
            for left in self._pending.values():
                left[:] = [key for key in left if key not in dropped]

    def finish(self, span: Span) -> None:
        """Release the leases of a span whose shards are stored."""
        self._leased.discard(span)
        span.release()

    def stop(self) -> None:
        """Hand out no more spans."""
        with self._lock:
            self._pending.clear()

    def close(self) -> None:
        """Release what was handed out and not finished, for others to take."""
        self.stop()
        for span in list(self._leased):
            self.finish(span)

    def _acquire(self, number: int) -> Span | None:
        """Lease what is missing of one span; what others have stored meanwhile is struck off."""
        leases, missing = list[Lease](), dict[StoreKey, list[int]]()
        with contextlib.ExitStack() as undo:  # where the disk refuses, nothing stays leased
            for key in list(self._pending[number]):
                lease = self._store.lease(key, number)
                if lease is None:
                    continue
                undo.callback(lease.release)
                shards = [i for i in key.sharding.of_span(number) if not self._store.has(key, i)]
                self._pending[number].remove(key)
                if shards:
                    leases.append(lease)
                    missing[key] = shards
                else:
                    lease.release()
            undo.pop_all()
        if not missing:
            return None
        first = number * self._images
        images = range(first, min(self._count, first + self._images))
        span = Span(number, images, missing, leases, number in self._handed_out)
        self._leased.add(span)
        self._handed_out.add(number)
        return span

    def _settle(self) -> None:
        """Forget the spans of which nothing is missing any more."""
        for number in [number for number, left in self._pending.items() if not left]:
            del self._pending[number]
            if number not in self._handed_out:
                first = number * self._images
                self._on_stored(min(self._count, first + self._images) - first)

    def _wait(self) -> None:
        if not self._has_waited:
            self._has_waited = True
            self._on_wait()
        time.sleep(POLL_SECONDS)
