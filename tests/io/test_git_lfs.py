"""Pointers of Git LFS, as its specification writes them."""

from pathlib import Path

from bob.io.git_lfs import is_pointer, is_pointer_file, pointer_message
from tests.builders.images import POINTER


def test_pointer_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(POINTER)
    assert is_pointer(POINTER) and is_pointer_file(tmp_path / "a.jpg")


def test_other_files_are_no_pointers(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"version 2 of my notes on https://git-lfs.github.com")
    assert not is_pointer_file(tmp_path / "a.txt") and not is_pointer(b"")
    assert not is_pointer_file(tmp_path / "nowhere")


def test_message_names_the_command() -> None:
    assert "'/x/a.jpg' is a pointer of Git LFS" in pointer_message(Path("/x/a.jpg"))
    assert "`git lfs pull`" in pointer_message(Path("/x/a.jpg"))
