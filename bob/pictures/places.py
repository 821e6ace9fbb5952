"""Where pages of images lie in a results folder."""

from pathlib import Path

from bob.records.record import Record

FOLDER = "images"
_KEY = 16
"""Characters of a key in a file's name."""


def page_of_record(results: Path, record: Record) -> Path:
    """Return the path of the page of one record."""
    return results / FOLDER / f"{record.key[:_KEY]}.html"


def page_of_comparison(results: Path, a: Record, b: Record) -> Path:
    """Return the path of the page of two records."""
    return results / FOLDER / f"{a.key[:_KEY]}_{b.key[:_KEY]}.html"
