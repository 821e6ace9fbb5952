"""Where the pages of images of records lie in a results folder."""

from pathlib import Path

from bob.records.record import Record

FOLDER = "images"
KEY_DIGITS = 16
"""Characters of a key in a file's name."""


def page_of_record(results: Path, record: Record) -> Path:
    """Return the path of the page of one record."""
    return results / FOLDER / f"{record.key[:KEY_DIGITS]}.html"


def page_of_comparison(results: Path, a: Record, b: Record) -> Path:
    """Return the path of the page of two records."""
    return results / FOLDER / f"{a.key[:KEY_DIGITS]}_{b.key[:KEY_DIGITS]}.html"


def image_pages(results: Path) -> list[str]:
    """Return the pages that are in a results folder, relative to it, sorted."""
    pages = sorted((results / FOLDER).glob("*.html"))
    return [f"{FOLDER}/{page.name}" for page in pages]
