"""Fork runs from a process that has everything imported, and print which shards each one wrote.

`python counted_run.py ALONE SHARED WORDS...` runs WORDS into ALONE, then in two processes at once
into SHARED, then once more into SHARED. Prints a JSON list with a list of shards for each of the
four runs: key and number, in the order in which they were written.
"""

import json
import multiprocessing
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from unittest.mock import patch

from bob.cli import main
from bob.features.key import StoreKey
from bob.features.shard import Shard
from bob.features.store import FeatureStore
from tests.builders.killed_runs import cut_into_small_spans
from tests.builders.preloaded import LOADED

assert LOADED  # imported before the process forks
write = FeatureStore.write


def shards_written(folders: Sequence[str], words: Sequence[str]) -> list[list[str]]:
    """Run once into each of these folders, all at the same time; the shards by process."""
    context = multiprocessing.get_context("fork")
    runs = []
    for folder in folders:
        ours, theirs = context.Pipe(duplex=False)
        places = ["--results", f"{folder}/results", "--cache-dir", f"{folder}/cache"]
        process = context.Process(target=child, args=(theirs, [*words, *places]))
        process.start()
        theirs.close()
        runs.append((process, ours))
    shards: list[list[str]] = [ours.recv() for _, ours in runs]
    for process, _ in runs:
        process.join()
        if process.exitcode:
            sys.exit(f"a run ended with {process.exitcode}")
    return shards


def child(pipe: Connection, words: Sequence[str]) -> None:
    """Run the command line, and send the shards that were stored."""
    written: list[str] = []

    def counted_write(store: FeatureStore, key: StoreKey, number: int, shard: Shard) -> None:
        write(store, key, number, shard)
        written.append(f"{key.digest()} {number}")

    sys.stdout = sys.stderr
    cut_into_small_spans()
    with patch.object(FeatureStore, "write", counted_write):
        code = main(words)
    pipe.send(written)
    sys.exit(code)


if __name__ == "__main__":
    alone, shared, *command = sys.argv[1:]
    shards = [
        *shards_written([alone], command),
        *shards_written([shared, shared], command),
        *shards_written([shared], command),
    ]
    sys.stdout.write(json.dumps(shards))
