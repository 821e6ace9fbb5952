"""A folder's lock is held by one process, and released when that process ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from bob.io.locks import folder_lock

HOLD = (
    "import sys; from pathlib import Path; from bob.io.locks import folder_lock\n"
    "with folder_lock(Path(sys.argv[1]), 0) as locked:\n"
    "    print(locked, flush=True); sys.stdin.read()"
)


def holder(folder: Path) -> "subprocess.Popen[str]":
    """Return a process that holds the lock until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "True\n"
    return process


@pytest.mark.parametrize("killed", [False, True])
def test_a_lock_is_free_again_when_its_process_ends(tmp_path: Path, killed: bool) -> None:
    process = holder(tmp_path)
    with folder_lock(tmp_path, 0) as locked:
        assert not locked
    if killed:
        process.kill()
    process.communicate("")
    with folder_lock(tmp_path, 0) as locked:
        assert locked
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_or_locks_nothing_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder_lock(tmp_path / "none", 0) as locked:
        assert not locked

    def no_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    handles = len(list(Path("/proc/self/fd").iterdir()))
    with folder_lock(tmp_path, 60) as locked:
        assert not locked
    assert len(list(Path("/proc/self/fd").iterdir())) == handles
