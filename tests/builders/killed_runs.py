"""A process that has everything imported and forks runs from itself, so that a run can be killed at its work twenty times within seconds.

`python killed_runs.py SEED KILLS UNDISTURBED KILLED WORDS...` runs WORDS once into UNDISTURBED, then KILLS times into KILLED, each run killed by
SIGKILL just before one of the first changes that it makes on the disk (a file opened for writing, a rename, a removal, a new folder), then once to
its end. What lies on the disk changes at no other moment, so that nothing hangs on the machine's speed. Prints how many runs were killed, and how
many changes the undisturbed one made.
"""

import itertools
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable
from typing import Any

import bob.commands.run  # everything that a run imports, once
from bob.cli import main

SHARE = 8
"""A killed run gets at most this part of the changes that an undisturbed one makes: its successors have something left to do."""
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "open"}


def changes_disk(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Whether an audit event tells of a change below the folder."""
    if event not in CHANGES or not str(arguments[0]).startswith(folder):
        return False
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def at_change(folder: str, number: int, act: Callable[[], None]) -> Any:
    """Acts just before this process makes its change of that number below the folder; 1 is the first. What counts them, for who wants to know."""
    made = itertools.count(1)

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        if changes_disk(event, arguments, folder) and next(made) == number:
            act()

    sys.addaudithook(see)
    return made


def run(words: list[str], folder: str, number: int = 0) -> tuple[bool, int]:
    """Whether the run was killed, before its change of that number, and how many it made if it ended."""
    context = multiprocessing.get_context("fork")
    total = context.Value("i", 0)
    process = context.Process(target=child, args=(words, folder, number, total))
    process.start()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        sys.exit(f"the run ended with {process.exitcode}")
    return process.exitcode != 0, total.value


def child(words: list[str], folder: str, number: int, total: Any) -> None:
    sys.stdout = sys.stderr
    made = at_change(folder, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
    code = main([*words, "--results", f"{folder}/results", "--cache-dir", f"{folder}/cache"])
    total.value = next(made) - 1
    sys.exit(code)


if __name__ == "__main__":
    assert bob.commands.run
    seed, kills, undisturbed, killed, *asked = sys.argv[1:]
    _, changes = run(asked, undisturbed)
    moments = random.Random(int(seed))
    hits = sum(
        run(asked, killed, moments.randint(1, changes // SHARE))[0] for _ in range(int(kills))
    )
    run(asked, killed)
    sys.stdout.write(f"{hits} {changes}\n")
