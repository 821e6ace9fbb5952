"""A folder that cannot be shared is recognised before anything is computed."""

import errno
import os
import time
from pathlib import Path

import pytest

from bob.errors import StoreError
from bob.io import shared_storage
from bob.io.shared_storage import marked, storage_notes, storage_problems


def test_a_local_folder_can_be_shared_and_is_left_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert storage_problems(folder) == storage_notes(folder) == []
    assert [*folder.iterdir()] == []


def test_a_file_system_without_links_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    (problem,) = storage_problems(tmp_path)
    assert problem.startswith(f"{tmp_path}: hard links are not possible (Operation not permitted)")


def test_exclusive_creation_that_is_not_exclusive_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a file system that ignores the flag."""
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags: real(path, flags & ~os.O_EXCL))
    (problem,) = storage_problems(tmp_path)
    assert "exclusive creation succeeds twice" in problem


def test_a_rename_that_replaces_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", lambda path, target: target)
    assert any("renaming a file does not replace" in text for text in storage_problems(tmp_path))


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        storage_problems(tmp_path / "file")


def test_missing_locks_and_another_clock_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bob.io.locks._acquire", lambda handle, patience: False)
    locks, clock = storage_notes(tmp_path, clock=lambda: time.time() - 3600)
    assert "no locks" in locks and "differs from this machine's by 3600 s" in clock


def test_a_mark_is_there_within_the_context_only(tmp_path: Path) -> None:
    with marked(tmp_path / "new") as path:
        assert path.parent == tmp_path / "new" and path.name.startswith(shared_storage.MARK_PREFIX)
        assert path.exists()
    assert not path.exists()
