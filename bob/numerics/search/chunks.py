"""Rows in chunks of bounded size."""

from collections.abc import Iterator


def slices(n: int, size: int) -> Iterator[slice]:
    """Yield consecutive slices of at most `size` (at least 1) rows that cover n rows."""
    step = max(1, size)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
