"""Names of files as text: a name that is not UTF-8 is shown with its bytes escaped."""

from collections.abc import Sequence

_SHOWN = 3


def printable(name: str) -> str:
    r"""Return a file name as text that can be printed, stored and encoded.

    Python holds the bytes of a name that is not UTF-8 as lone surrogates, which no encoding
    accepts; the name `caf\xe9` of Latin-1 becomes the text `caf\\xe9`. Other names are unchanged.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def some_names(names: Sequence[str]) -> str:
    """Return the first three of at least one name in quotes, and how many more there are."""
    shown = ", ".join(repr(printable(name)) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown
