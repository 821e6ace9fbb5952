"""The units of a run in the order in which they are begun."""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import get_args

from bob.engine.units import Unit, UnitKind


class UnitQueue:
    """Units in the order in which they are best begun, each once its features are stored."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units = dict(enumerate(units))
        """Position → unit; one that is to be begun later gets a new position."""
        self._end = itertools.count(len(units))
        self._providers: Counter[str] = Counter()
        """Digest → units that are to store it and have not ended."""
        for unit in units:
            self._providers.update(unit.provides)
        self._readers: dict[str, list[int]] = defaultdict(list)
        self._blocked: dict[int, int] = {}
        """Position → features that are still to be stored."""
        self._ready: dict[UnitKind, list[int]] = {kind: [] for kind in get_args(UnitKind)}
        for position, unit in self._units.items():
            missing = [digest for digest in unit.requires if self._providers[digest]]
            self._blocked[position] = len(missing)
            for digest in missing:
                self._readers[digest].append(position)
            if not missing:
                heapq.heappush(self._ready[unit.kind], position)

    def __bool__(self) -> bool:
        """Whether units are left."""
        return bool(self._units)

    def pop(self, has_room: Callable[[UnitKind], bool]) -> tuple[int, Unit] | None:
        """Return the first unit that is ready, of a kind for which there is room."""
        first = [(heap[0], heap) for kind, heap in self._ready.items() if heap and has_room(kind)]
        if not first:
            return None
        position, heap = min(first)
        heapq.heappop(heap)
        return position, self._units.pop(position)

    def put_back(self, position: int, unit: Unit) -> None:
        """Put a unit where it was, to be begun again at once."""
        self._units[position] = unit
        heapq.heappush(self._ready[unit.kind], position)

    def append(self, unit: Unit) -> None:
        """Put a unit at the end."""
        self.put_back(next(self._end), unit)

    def is_stored_later(self, digest: str) -> bool:
        """Whether a unit that is to store these features has not ended."""
        return self._providers[digest] > 0

    def ended(self, unit: Unit) -> None:
        """Release the units that wait for what this one has stored."""
        for digest in unit.provides:
            self._providers[digest] -= 1
            if self._providers[digest] == 0:
                for position in self._readers.pop(digest, ()):
                    self._blocked[position] -= 1
                    if self._blocked[position] == 0:
                        heapq.heappush(self._ready[self._units[position].kind], position)
