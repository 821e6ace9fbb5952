"""Tries inputs in processes of their own, so that a crash or a hang is a fault like any other."""

import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.target import Fault, try_input
from tests.fuzz.targets import TARGETS

LONGEST_SECONDS = 120
"""Wall-clock time after which a silent process is killed, for what waits and computes nothing."""
LONGEST_START_SECONDS = 600


@dataclass
class Totals:
    """What became of the inputs of one target."""

    inputs: int = 0
    accepted: int = 0
    cpu_seconds: float = 0.0
    faults: list[Fault] = field(default_factory=list)


def run_target(target: str, seed: int, numbers: range) -> Totals:
    """Try the inputs of these numbers, in a new process after each crash or hang."""
    totals = Totals()
    while totals.inputs < len(numbers):
        _run_child(target, seed, numbers[totals.inputs :], totals)
    return totals


def _run_child(target: str, seed: int, numbers: range, totals: Totals) -> None:
    """Try inputs in a child process until all are done, or one of them ends or stops it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, target, seed, numbers))
    process.start()
    theirs.close()
    done = 0
    limit = LONGEST_START_SECONDS
    try:
        while done < len(numbers):
            if not ours.poll(limit):
                raise TimeoutError(f"no answer in {limit} s")
            answer, cpu_seconds = ours.recv()
            limit = LONGEST_SECONDS
            if answer is None:  # prepared
                continue
            done += 1
            totals.cpu_seconds += cpu_seconds
            totals.accepted += answer is True
            totals.faults += [answer] if isinstance(answer, Fault) else []
    except (EOFError, TimeoutError) as error:
        process.kill() if isinstance(error, TimeoutError) else None
        process.join()
        report = str(error) or f"the process ended with {process.exitcode}"
        totals.faults.append(Fault(target, seed, numbers[done], report))
        done += 1
    process.join()
    totals.inputs += done


def _child(pipe: Connection, target: str, seed: int, numbers: range) -> None:
    """Try inputs, and send what became of each."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)  # native libraries write there
        case = TARGETS[target](Path(folder))
        pipe.send((None, 0.0))
        for number in numbers:
            start = time.process_time()
            answer = try_input(target, case, seed, number)
            pipe.send((answer, time.process_time() - start))
