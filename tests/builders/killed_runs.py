"""Fork runs from a process that has everything imported, so that twenty can be killed in seconds.

`python killed_runs.py SEED KILLS UNDISTURBED KILLED WORDS...` runs WORDS once into UNDISTURBED,
then KILLS times into KILLED, where SIGKILL ends each run just before one of the first changes that
it makes on the disk (a file opened for writing, a rename, a removal, a new folder), then once to
its end. The content of the disk changes at no other moment, so nothing depends on the machine's
speed. Prints how many runs were killed, and how many changes the undisturbed one made.
"""

import itertools
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable
from typing import Any

from bob.cli import main
from bob.features import sharding
from tests.builders.preloaded import LOADED

assert LOADED  # imported before the process forks
SHARE = 8
"""A killed run makes at most this part of an undisturbed run's changes: work is left for later."""
SPAN_IMAGES = 32
"""Images per span of these runs, instead of 1,024: few images make several shards."""
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "open"}


def changes_disk(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Return whether an audit event is a change below the folder."""
    if event not in CHANGES or not str(arguments[0]).startswith(folder):
        return False
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def at_change(folder: str, number: int, act: Callable[[], None]) -> "itertools.count[int]":
    """Call `act` just before this process makes its change of that number below the folder.

    The first change has number 1. Returns the counter, whose next value is one more than the
    changes so far.
    """
    numbers = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if changes_disk(event, arguments, folder) and next(numbers) == number:
            act()

    sys.addaudithook(hook)
    return numbers


def cut_into_small_spans() -> None:
    """Let this process divide splits into spans and shards of a few images."""
    sharding.SPAN_IMAGES = SPAN_IMAGES


def run(words: list[str], folder: str, number: int = 0) -> tuple[bool, int]:
    """Run in a child that is killed before its change of that number.

    Returns whether it was killed, and how many changes it made if it ended.
    """
    return run_at_once(words, folder, number)[0]


def run_at_once(words: list[str], folder: str, *numbers: int) -> list[tuple[bool, int]]:
    """Run in children at once, one for each number of the change before which it is killed.

    Returns of each what `run` returns of one. A run with number 0 is not killed.
    """
    context = multiprocessing.get_context("fork")
    totals = [context.Value("i", 0) for _ in numbers]
    processes = [
        context.Process(target=child, args=(words, folder, number, total))
        for number, total in zip(numbers, totals, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode not in (0, -signal.SIGKILL):
            sys.exit(f"the run ended with {process.exitcode}")
    return [
        (process.exitcode != 0, total.value)
        for process, total in zip(processes, totals, strict=True)
    ]


def child(words: list[str], folder: str, number: int, total: Any) -> None:
    """Run the command line; the path of the folder replaces `{folder}` in the words."""
    words = [word.replace("{folder}", folder) for word in words]
    sys.stdout = sys.stderr
    cut_into_small_spans()
    numbers = at_change(folder, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
    code = main(words)
    total.value = next(numbers) - 1
    sys.exit(code)


if __name__ == "__main__":
    seed, kills, undisturbed, killed, *command = sys.argv[1:]
    command += ["--results", "{folder}/results", "--cache-dir", "{folder}/cache"]
    _, changes = run(command, undisturbed)
    moments = random.Random(int(seed))
    hits = sum(
        run(command, killed, moments.randint(1, changes // SHARE))[0] for _ in range(int(kills))
    )
    run(command, killed)
    sys.stdout.write(f"{hits} {changes}\n")
