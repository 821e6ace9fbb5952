"""Ways of doing one thing, timed in turn within one process, so that conditions are equal."""

import contextlib
import ctypes
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psutil

SAMPLING_SECONDS = 0.005
Result = TypeVar("Result")


@dataclass(frozen=True)
class Measured(Generic[Result]):
    """A measured call."""

    seconds: float
    processor_seconds: float
    """Of all threads; hardly depends on what else the machine does."""
    peak_mib: float
    """Peak memory of the process during the call, above that before it."""
    result: Result


def measured(call: Callable[[], Result]) -> Measured[Result]:
    """Call a function, and measure its seconds and its peak memory."""
    # freed memory is returned first (glibc), or the call would reuse it unnoticed
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLING_SECONDS):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        start, processor = time.perf_counter(), time.process_time()
        result = call()
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
    finally:
        done.set()
        watcher.join()
    peak_mib = (max(peak, process.memory_info().rss) - before) / 2**20
    return Measured(seconds, processor, peak_mib, result)


def interleave(
    ways: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return the seconds of each way, one per round, and each way's last result."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results = {}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            results[name] = way()
            seconds[name].append(time.perf_counter() - start)
    return seconds, results


def table(
    seconds: Mapping[str, list[float]], against: str, notes: Mapping[str, str]
) -> dict[str, float]:
    """Print medians, spreads and ratios to `against`, and return the ratios."""
    ours = statistics.median(seconds[against])
    ratios = {name: statistics.median(times) / ours for name, times in seconds.items()}
    for name, times in seconds.items():
        print(
            f"{name:34} {statistics.median(times):9.3f} s  ({min(times):.3f}-{max(times):.3f})  "
            f"{ratios[name]:8.2f}x  {notes.get(name, '')}"
        )
    return ratios


def machine() -> str:
    """Return the cores and the load before the run; another busy process distorts every ratio."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, load {load:.1f}" + (
        "  WARNING: the machine is not idle" if load > 0.5 else ""
    )


def finish(ratios: Mapping[str, float]) -> None:
    """Print the ratios as one JSON object, the last line."""
    print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()}))
