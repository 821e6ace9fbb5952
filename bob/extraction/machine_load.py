"""How busy other processes keep the processor while this one is measured."""

import os
import time
from dataclasses import dataclass

import psutil

DISTURBING_CORES = 0.25
"""Cores that others must have used for a measurement to count as disturbed: less is noise."""
IDLE_SHARE = 0.1
"""Share of the machine that must have been idle for others' work to have disturbed nobody."""


@dataclass(frozen=True)
class MachineLoad:
    """Use of the processor over some time, in cores."""

    own: float
    others: float
    idle: float

    @property
    def is_disturbed(self) -> bool:
        """Whether others took time that this process could have used."""
        cores = self.own + self.others + self.idle
        return self.others > DISTURBING_CORES and self.idle < IDLE_SHARE * cores


class LoadMeter:
    """Measures the load since it was made, or since it was read last."""

    def __init__(self) -> None:
        self._last = self._sample()

    def read(self) -> MachineLoad:
        """Return the load since the last reading."""
        before, after = self._last, self._sample()
        self._last = after
        seconds = max(after[0] - before[0], 1e-9)
        own = max(after[1] - before[1], 0.0) / seconds
        busy = max(after[2] - before[2], 0.0) / seconds
        cores = os.cpu_count() or 1
        return MachineLoad(own, max(busy - own, 0.0), max(cores - busy, 0.0))

    def _sample(self) -> tuple[float, float, float]:
        """Return wall time, this process's processor time and everybody's, in seconds."""
        everybody = psutil.cpu_times()
        waiting = everybody.idle + getattr(everybody, "iowait", 0.0)
        guests = getattr(everybody, "guest", 0.0) + getattr(everybody, "guest_nice", 0.0)
        busy = sum(everybody) - waiting - guests  # guests' time is part of the users' as well
        return time.perf_counter(), time.process_time(), busy
