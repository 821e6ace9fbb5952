"""Short forms of record fields that may have any length, for tables and the page.

Ordinary records are far below these limits. A record that is not stays complete on disk, and
`bob-bench show` prints it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

MAX_TEXT = 2_000
"""Characters of a reason or a note."""
MAX_WORD = 200
"""Characters of a text among other values."""
MAX_ENTRIES = 50
"""Entries of a mapping that are shown, the first ones."""
MAX_ITEMS = 200
"""Values in a list or mapping, however nested; a larger one is replaced by its length."""
REST = "..."
"""Key that says how many entries are left out."""


def short_text(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text, or its beginning and the number of its characters."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text):,} characters)"


def short_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first entries of a mapping, with long values replaced by their sizes."""
    shown: dict[str, Any] = {}
    for name, value in values.items():
        if len(shown) == MAX_ENTRIES:
            return shown | {REST: f"{len(values) - MAX_ENTRIES:,} more entries"}
        shown[short_text(name, MAX_WORD)] = _short_value(value)
    return shown


def short_list(texts: Iterable[str]) -> list[str]:
    """Return the first texts, each shortened, and how many more there are."""
    texts = list(texts)
    more = [f"{len(texts) - MAX_ENTRIES:,} more"] if len(texts) > MAX_ENTRIES else []
    return [*map(short_text, texts[:MAX_ENTRIES]), *more]


def _short_value(value: Any) -> Any:
    if isinstance(value, str):
        return short_text(value, MAX_WORD)
    if isinstance(value, list | tuple | dict):
        return value if _is_short(value) else f"{len(value):,} entries"
    return value


def _is_short(value: Any) -> bool:
    """Return whether a value has few values inside; of a longer one, not all are visited."""
    pending, items = [value], 0
    while pending:
        inner = pending.pop()
        if isinstance(inner, dict):
            items += sum(len(name) > MAX_WORD for name in inner) * MAX_ITEMS
            inner = list(inner.values())
        if isinstance(inner, list | tuple):
            items += len(inner)
            if items > MAX_ITEMS:
                return False
            pending += inner
        elif isinstance(inner, str) and len(inner) > MAX_WORD:
            return False
    return True
