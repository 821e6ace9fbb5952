"""File names as text, whatever their bytes."""

import os

import pytest

from bob.io.names import printable


@pytest.mark.parametrize("name", ["cat", "犬", "caf\u00e9", "a\\xe9", ""])
def test_text_stays_as_it_is(name: str) -> None:
    assert printable(name) == name


def test_bytes_that_are_not_utf8_are_escaped() -> None:
    r"""The byte E9 is é in Latin-1, and begins a sequence of three bytes in UTF-8."""
    assert printable(os.fsdecode(b"caf\xe9")) == "caf\\xe9"
    printable(os.fsdecode(bytes(range(128, 256)))).encode("ascii")
