"""Atomic writes sweep what killed processes left, and keep what living ones write."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bob.io.files import (
    LEFTOVER_SECONDS,
    TEMPORARY_PREFIX,
    require_writable,
    write_atomically,
    write_output,
)

WRITER = """
import os, signal, sys
from pathlib import Path
from bob.io.files import atomic_writer
with atomic_writer(Path(sys.argv[1])) as file:
    file.write(b"half of it")
    file.flush()
    print("writing", flush=True)
    sys.stdin.readline()
"""


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(f"{TEMPORARY_PREFIX}*"))


@pytest.fixture
def writer(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process in the middle of writing `tmp_path/theirs`."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "theirs")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe and not pipe.closed:
            pipe.close()


def test_the_next_write_sweeps_what_a_killed_process_left(
    tmp_path: Path, writer: "subprocess.Popen[str]"
) -> None:
    writer.kill()
    writer.wait()
    assert len(leftovers(tmp_path)) == 1
    write_atomically(tmp_path / "ours", b"all of it")
    assert list(tmp_path.iterdir()) == [tmp_path / "ours"]


def test_a_killed_process_that_its_parent_has_not_reaped_is_gone(
    tmp_path: Path, writer: "subprocess.Popen[str]"
) -> None:
    """SIGKILL takes effect at once, and its parent, this test, waits only afterwards."""
    writer.kill()
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
    write_atomically(tmp_path / "ours", b"all of it")
    assert leftovers(tmp_path) == []


def test_the_temporary_file_of_a_living_process_is_kept(
    tmp_path: Path, writer: "subprocess.Popen[str]"
) -> None:
    (temporary,) = leftovers(tmp_path)
    os.utime(temporary, (0, 0))
    write_atomically(tmp_path / "ours", b"all of it")
    assert leftovers(tmp_path) == [temporary]
    assert writer.stdin is not None
    writer.stdin.write("\n")
    writer.stdin.close()
    assert writer.wait(timeout=60) == 0
    assert (tmp_path / "theirs").read_bytes() == b"half of it" and leftovers(tmp_path) == []


def test_a_file_is_flushed_before_it_has_its_name_and_the_folder_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a power cut leaves the old file or the new one in full."""
    path = tmp_path / "ours"
    flushed: list[tuple[int, bool]] = []
    monkeypatch.setattr(
        "os.fsync", lambda handle: flushed.append((os.fstat(handle).st_ino, path.exists()))
    )
    write_atomically(path, b"all of it")
    assert flushed == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


@pytest.mark.parametrize("name", ["abc", "0123456789abcdef-1-1.0-abc", "0-x"])
def test_temporary_files_of_other_machines_are_swept_after_a_day(tmp_path: Path, name: str) -> None:
    old, recent = (tmp_path / f"{TEMPORARY_PREFIX}{name}{age}" for age in ("old", "recent"))
    for path, seconds in ((old, LEFTOVER_SECONDS + 60), (recent, LEFTOVER_SECONDS - 60)):
        path.write_text("half of it")
        now = path.stat().st_mtime
        os.utime(path, (now - seconds, now - seconds))
    write_atomically(tmp_path / "ours", b"all of it")
    assert leftovers(tmp_path) == [recent]


def test_a_folder_named_like_a_temporary_file_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / f"{TEMPORARY_PREFIX}folder"
    folder.mkdir()
    os.utime(folder, (0, 0))
    write_atomically(tmp_path / "ours", b"all of it")
    assert leftovers(tmp_path) == [folder]


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old" and leftovers(tmp_path) == []


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_output(tmp_path / "pipe", b"rows")
        assert os.read(reader, 100) == b"rows" and (tmp_path / "pipe").is_fifo()
    finally:
        os.close(reader)


def test_a_link_to_an_open_file_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As /dev/stdout is, which a process of root would replace for all others."""
    monkeypatch.setattr("bob.io.files.STREAM_FOLDERS", (tmp_path,))
    (tmp_path / "log").write_bytes(b"before")
    (tmp_path / "stdout").symlink_to(tmp_path / "log")
    write_output(tmp_path / "stdout", b"rows")
    assert (tmp_path / "stdout").is_symlink() and (tmp_path / "log").read_bytes() == b"rows"


def test_checking_a_folder_leaves_no_file(tmp_path: Path) -> None:
    require_writable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_limit_of_the_size_of_files_is_named_with_its_remedy(tmp_path: Path) -> None:
    """A process may write no file of more than 1,000 bytes."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from bob.io.files import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_atomically(Path(sys.argv[1]), bytes(900))\n"
        "write_atomically(Path(sys.argv[2]), bytes(1100))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, str(tmp_path / "small"), str(tmp_path / "large")]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert "large: cannot be written; files may not be so large here: raise the li" in ended.stderr
    assert (tmp_path / "small").read_bytes() == bytes(900)
    assert not (tmp_path / "large").exists() and not leftovers(tmp_path)
