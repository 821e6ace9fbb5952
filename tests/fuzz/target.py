"""What a fuzzer consists of, and how its inputs are tried."""

import contextlib
import random
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from bob.errors import BobError

LONGEST_CPU_SECONDS = 20
"""Processor time of this process, which does not depend on what else the machine does."""

Case = Callable[[random.Random], bool]
"""Tries one input and returns whether it was accepted. A BobError refuses it; any other exception
is a fault, AssertionError where something damaged was accepted."""
Prepare = Callable[[Path], Case]
"""Writes sound inputs into an empty folder and returns what damages and tries them."""


@dataclass(frozen=True)
class Fault:
    """An input that was answered wrongly; target, seed and number make it again."""

    target: str
    seed: int
    number: int
    report: str

    def __str__(self) -> str:
        again = f"python -m tests.fuzz --targets {self.target} --seed {self.seed}"
        return f"{again} --first {self.number} --count 1\n{self.report}"


class HangError(Exception):
    """An input took more than LONGEST_CPU_SECONDS."""


def try_input(target: str, case: Case, seed: int, number: int) -> bool | Fault:
    """Return whether the input of this number was accepted, or the fault that it uncovered."""
    rng = random.Random(f"{target} {seed} {number}")
    try:
        with _limited_processor_time(), warnings.catch_warnings():
            warnings.simplefilter("error")
            return case(rng)
    except BobError as error:
        str(error).encode("utf-8", "backslashreplace")
        return False
    except KeyboardInterrupt:
        raise
    except BaseException:  # panics of Rust libraries and SystemExit are no Exceptions
        return Fault(target, seed, number, traceback.format_exc(limit=-12))


@contextlib.contextmanager
def _limited_processor_time() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> Any:
        raise HangError(f"more than {LONGEST_CPU_SECONDS} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LONGEST_CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
