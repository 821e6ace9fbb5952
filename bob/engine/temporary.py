"""Temporary arrays of statistics: who still needs them, and their removal from the store.

They are features that only the statistics of a later pass read (see `bob.extraction.accumulators`).
Once these are stored for all cells of a plan, the arrays are removed, unless another process has
announced that it reads them; that one then removes them. Statistics that lack them and are needed
again are computed again, like any that are missing.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bob.engine.units import Unit
from bob.errors import BobError, StoreError
from bob.extraction.accumulators import temporary_arrays
from bob.features.inventory import Announcement, remove_temporary
from bob.features.key import StatisticsKey
from bob.plan import Plan, StatisticsOutput, TemporaryOutput, Workspace, statistics_need


@dataclass(eq=False)
class TemporaryStatistics:
    """The statistics with temporary arrays of one run of a plan."""

    plan: Plan
    workspace: Workspace
    announcement: Announcement
    """Which features this run reads, these among them."""
    _left: dict[str, TemporaryOutput] = field(init=False)
    """Those whose arrays this run has not removed, by digest."""

    def __post_init__(self) -> None:
        self.store = self.workspace.places.features()
        self._left = {output.statistics.digest: output for output in self.plan.temporary}

    def needed(self, unit: Unit) -> Unit:
        """Return a unit without the statistics of which nothing is to be computed any more."""
        outputs = [self._left[digest] for digest in unit.provides if digest in self._left]
        if not outputs or self.plan.settings.fresh:
            return unit
        done = {each.statistics.digest for each in outputs if self._is_done(each)}
        plan = unit.plan.without_outputs(done)
        return Unit(
            kind=unit.kind, plan=plan, spans=unit.spans, expected_images=unit.expected_images
        )

    def remove(self, is_stored_later: Callable[[str], bool]) -> None:
        """Remove the arrays that are not needed any more.

        `is_stored_later` says of a digest whether this run is still to store it. Where the disk
        refuses, the next run removes them.
        """
        ready = [
            each for each in self._left.values() if not self._is_waited_for(each, is_stored_later)
        ]
        for output in ready:
            del self._left[output.statistics.digest]
        removable = {key: names for each in ready for key, names in self._removable(each)}
        if removable:
            self.announcement.withdraw({key.digest() for key in removable})
            with contextlib.suppress(StoreError):
                remove_temporary(self.store, removable)

    def _is_waited_for(
        self, output: TemporaryOutput, is_stored_later: Callable[[str], bool]
    ) -> bool:
        return any(is_stored_later(each.digest) for each in (output.statistics, *output.until))

    def _removable(
        self, output: TemporaryOutput
    ) -> Iterator[tuple[StatisticsKey, tuple[str, ...]]]:
        """Yield the key of statistics, and names of arrays, if all that depends on them exists."""
        with contextlib.suppress(BobError):  # the cells say what does not work
            if self._are_readers_stored(output):
                names = temporary_arrays(output.statistics.accumulator["name"])
                yield self._key(output, output.statistics), names

    def _is_done(self, output: TemporaryOutput) -> bool:
        """Whether nothing is to be computed of statistics, and what scoring reads exists."""
        with contextlib.suppress(BobError):
            is_stored = self.store.is_stored(self._key(output, output.statistics))
            return is_stored and self._are_readers_stored(output)
        return False

    def _are_readers_stored(self, output: TemporaryOutput) -> bool:
        return not any(self.store.missing(self._key(output, each)) for each in output.until)

    def _key(self, output: TemporaryOutput, statistics: StatisticsOutput) -> StatisticsKey:
        spec = self.plan.backbones[output.backbone]
        key = self.workspace.key(output.dataset, statistics_need(spec, statistics))
        assert isinstance(key, StatisticsKey)
        return key
