"""Shards handed out: to the devices of this process, and among processes and hosts that compute the same features in one shared folder."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bob.features.key import FeatureKey
from bob.features.leases import Claim
from bob.features.store import FeatureStore, shard_count, shard_range

POLL_SECONDS = 0.2
"""How often a process that waits for others looks again."""


@dataclass(frozen=True, eq=False)
class Job:
    """One shard, and the keys for which this process computes it."""

    number: int
    claims: dict[FeatureKey, Claim]
    again: bool
    """Whether this process has computed the shard for other keys already."""

    def release(self) -> None:
        for claim in self.claims.values():
            claim.release()


class Jobs:
    """The missing shards of some keys over N images, each given out once; `done` tells of images that others have embedded meanwhile."""

    def __init__(
        self,
        store: FeatureStore,
        keys: Sequence[FeatureKey],
        n: int,
        on_wait: Callable[[], None] = lambda: None,
        done: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store, self._n, self._on_wait, self._done = store, n, on_wait, done
        self._lock, self._waited = threading.Lock(), False
        self._out, self._given = set[Job](), set[int]()
        missing = {key: set(store.missing(key, n)) for key in keys}
        self._pending = {
            number: [key for key in keys if number in missing[key]]
            for number in range(shard_count(n))
        }
        self._settle()

    def next(self, *, wait: bool) -> Job | None:
        """The next shard that nobody else computes. None when every shard is there; or, unless we are to wait, while others compute those left.

        Who waits must have finished its own jobs: others may be waiting for them.
        """
        while True:
            with self._lock:
                job = next(filter(None, map(self._take, list(self._pending))), None)
                self._settle()
                if job or not (wait and self._pending):
                    return job
            self._wait()

    def drop(self, keys: Iterable[FeatureKey]) -> None:
        """These are not computed any more."""
        dropped = set(keys)
        with self._lock:
            for left in self._pending.values():
                left[:] = [key for key in left if key not in dropped]

    def finish(self, job: Job) -> None:
        self._out.discard(job)
        job.release()

    def stop(self) -> None:
        """Hands out no more."""
        with self._lock:
            self._pending.clear()

    def close(self) -> None:
        """Gives up what was handed out and not finished, for others to take."""
        self.stop()
        for job in list(self._out):
            self.finish(job)

    def _take(self, number: int) -> Job | None:
        """Claims what is missing of one shard. What others have stored since we looked is struck off."""
        claims: dict[FeatureKey, Claim] = {}
        for key in list(self._pending[number]):
            claim = self._store.claim(key, number)
            if claim and self._store.has(key, number):
                claim.release()
                self._pending[number].remove(key)
            elif claim:
                claims[key] = claim
                self._pending[number].remove(key)
        if not claims:
            return None
        job = Job(number, claims, again=number in self._given)
        self._out.add(job)
        self._given.add(number)
        return job

    def _settle(self) -> None:
        """Counts off the shards of which nothing is missing any more."""
        for number in [number for number, left in self._pending.items() if not left]:
            del self._pending[number]
            if number not in self._given:
                self._done(len(shard_range(number, self._n)))

    def _wait(self) -> None:
        if not self._waited:
            self._waited = True
            self._on_wait()
        time.sleep(POLL_SECONDS)
