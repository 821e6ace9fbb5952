"""A process that has everything imported and forks runs from itself, so that a run can be killed at its work twenty times within seconds.

`python killed_runs.py SEED KILLS UNDISTURBED KILLED WORDS...` runs WORDS once into UNDISTURBED, then KILLS times into KILLED, each run killed with
SIGKILL at a random moment of its first eighth, then once to its end. Prints how many kills hit a run at work.
"""

import multiprocessing
import random
import sys
import time

import bob.runner  # everything that a run imports, once
from bob.cli import main

SHARE = 8
"""A killed run gets at most this part of the time that an undisturbed one takes: its successors have something left to do."""


def run(words: list[str], folder: str, seconds: float | None = None) -> bool:
    """Whether the run was still at work after so many seconds, and so was killed."""
    process = multiprocessing.get_context("fork").Process(target=child, args=(words, folder))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return True
    if process.exitcode:
        sys.exit(f"the run ended with {process.exitcode}")
    return False


def child(words: list[str], folder: str) -> None:
    sys.stdout = sys.stderr
    sys.exit(main([*words, "--results", f"{folder}/results", "--cache-dir", f"{folder}/cache"]))


if __name__ == "__main__":
    assert bob.runner
    seed, kills, undisturbed, killed, *asked = sys.argv[1:]
    began = time.monotonic()
    run(asked, undisturbed)
    whole, moments = time.monotonic() - began, random.Random(int(seed))
    hits = sum(run(asked, killed, moments.uniform(0, whole / SHARE)) for _ in range(int(kills)))
    run(asked, killed)
    sys.stdout.write(f"{hits}\n")
