"""`bob-bench leaderboard` and the leaderboard after a run, beside other processes."""

import contextlib
import csv
import subprocess
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from pathlib import Path

import pytest

from bob.commands import leaderboard as command
from bob.commands.terminal import Terminal
from bob.leaderboards.board import Board
from bob.leaderboards.write import write_board
from bob.records.store import RecordStore
from tests.builders.fresh_process import run_python
from tests.builders.leaderboard_records import record

PUBLISH = """
import sys
from pathlib import Path
from bob.commands import leaderboard
from bob.commands.terminal import Terminal
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import record

folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    RecordStore(folder).write(record(f"{name}{number}", 0.5), {})
    leaderboard.publish(Terminal(), folder)
"""


def publish(folder: Path, name: str, count: int) -> "subprocess.CompletedProcess[str]":
    """Add records one at a time in another process, and publish after each."""
    return run_python(["-c", PUBLISH, str(folder), name, str(count)])


def backbones(folder: Path, file: str = "leaderboard.csv") -> set[str]:
    with (folder / file).open(encoding="utf-8") as lines:
        return {row["backbone"] for row in csv.DictReader(lines)}


def test_no_process_that_publishes_loses_the_row_of_another(tmp_path: Path) -> None:
    """Three processes add a record at a time and publish after each."""
    with ThreadPoolExecutor(3) as pool:
        done = [*pool.map(lambda name: publish(tmp_path, name, 3), "abc")]
    assert [process.returncode for process in done] == [0, 0, 0]
    everyone = {f"{name}{number}" for name in "abc" for number in range(3)}
    for file in ("leaderboard.csv", "leaderboard_wide.csv", "ranking.csv"):
        assert backbones(tmp_path, file) == everyone


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "a file system without locks"])
def test_a_record_that_is_added_while_the_files_are_written_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """The other process adds its record after ours was read, and publishes before we write."""
    store = RecordStore(tmp_path)
    store.write(record("a", 0.5), {})
    others: list[Future[subprocess.CompletedProcess[str]]] = []

    def write_late(board: Board, folder: Path) -> Sequence[Path]:
        if not others:
            others.append(pool.submit(publish, folder, "other", 1))
            if locks:  # the other one waits for us
                while not store.find("linear", "elpv", "other0", record("other0").key):
                    with contextlib.suppress(TimeoutError):
                        pytest.fail(f"ended with {others[0].result(timeout=0.1)}")
            else:
                assert others[0].result().returncode == 0
        return write_board(board, folder)

    if not locks:

        def no_locks(*_: object) -> None:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr("fcntl.flock", no_locks)
    monkeypatch.setattr(command, "write_board", write_late)
    with ThreadPoolExecutor() as pool:
        command.publish(Terminal(), tmp_path)
        assert others[0].result().returncode == 0
    assert backbones(tmp_path) == {"a", "other0"}
