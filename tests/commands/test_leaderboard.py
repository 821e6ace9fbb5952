"""`bob-bench leaderboard` and the leaderboard after a run, beside other processes."""

import contextlib
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bob.commands import leaderboard as command
from bob.commands.terminal import Terminal
from bob.leaderboards.board import Board
from bob.leaderboards.write import write_board
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import record

ROOT = Path(__file__).parents[2]
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


def backbones(folder: Path, file: str = "leaderboard.csv") -> set[str]:
    with (folder / file).open(encoding="utf-8") as lines:
        return {row["backbone"] for row in csv.DictReader(lines)}


def test_no_process_that_publishes_loses_the_row_of_another(tmp_path: Path) -> None:
    """Three processes add a record at a time and publish after each."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH, str(tmp_path), name, "6"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        for name in "abc"
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    everyone = {f"{name}{number}" for name in "abc" for number in range(6)}
    for file in ("leaderboard.csv", "leaderboard_wide.csv", "ranking.csv"):
        assert backbones(tmp_path, file) == everyone


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "a file system without locks"])
def test_a_record_that_is_added_while_the_files_are_written_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """The other process adds its record after ours was read, and publishes before we write."""
    store = RecordStore(tmp_path)
    store.write(record("a", 0.5), {})
    others: list[subprocess.Popen[bytes]] = []

    def write_late(board: Board, folder: Path) -> Sequence[Path]:
        if not others:
            script = [sys.executable, "-c", PUBLISH, str(folder), "other", "1"]
            others.append(subprocess.Popen(script, cwd=ROOT, stdout=subprocess.DEVNULL))
            if locks:  # the other one waits for us
                while not store.find("linear", "elpv", "other0", record("other0").key):
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        pytest.fail(f"ended with {others[0].wait(timeout=0.1)}")
            else:
                assert others[0].wait() == 0
        return write_board(board, folder)

    if not locks:

        def no_locks(*_: object) -> None:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr("fcntl.flock", no_locks)
    monkeypatch.setattr(command, "write_board", write_late)
    command.publish(Terminal(), tmp_path)
    assert others[0].wait() == 0
    assert backbones(tmp_path) == {"a", "other0"}
