"""The error tree. Every `BobError` is a problem that its reader can act on, so the command line shows it without a traceback.

A message says what is wrong, where, what was given, and what would be right.
"""

import difflib
import re
from collections.abc import Collection
from typing import Literal


class BobError(Exception):
    """Any problem that the user can act on."""


class ConfigError(BobError):
    """A registry file, a name or a flag is wrong."""


class UnavailableError(BobError):
    """A backbone or a dataset cannot be obtained here: no network, gated, package not installed."""


class DatasetError(BobError):
    """A dataset's folder, table, labels or splits are wrong."""


class UnreadableImageError(DatasetError):
    """One image cannot be read."""


class BackboneError(BobError):
    """A backbone does not load, or gives wrong rows."""


class StoreError(BobError):
    """The feature store or the records cannot be written."""


class NotApplicableError(BobError):
    """A task cannot be asked of this dataset, or of this backbone. Neither a failure nor a score of 0."""

    def __init__(self, reason: str, *, subject: Literal["dataset", "backbone"] = "dataset") -> None:
        super().__init__(reason)
        self.subject = subject


class UndefinedError(BobError):
    """A metric has no value for this outcome. Never reported as 0."""


OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all done (what was skipped came from a group, a glob or 'all') · a cell failed, or something named exactly could not be had ·
the request itself is wrong · Ctrl-C."""


def nearest(name: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?` where a known name is close in spelling, or holds the same words in another order; else the end of the sentence."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    words = _words(name)
    same = sorted((other for other in known if words and words <= _words(other)), key=len)
    found = same[:1] if same and len(words) > 1 else close
    return f"; did you mean {found[0]!r}?" if found else "."


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", name.lower()))
