"""The errors that users can act on, and the exit codes of the command line.

    BobError                    any problem that the user can act on
    ├── ConfigError             a registry file, a name or a flag is wrong
    ├── UnavailableError        a backbone or dataset cannot be obtained on this machine
    ├── DatasetError            a dataset's folder, table, labels or splits are wrong
    │   ├── UnreadableImageError    one image cannot be read
    │   └── ChangedImageError   an image is not the one that the run was planned for
    ├── BackboneError           a backbone does not load, or returns wrong rows
    │   └── OutputError         a backbone does not have the output that is to be read
    ├── StoreError              features or records cannot be read or written
    ├── PlanMismatchError       a plan was made for other weights, images or libraries
    ├── NotApplicableError      a task is not defined for a dataset or backbone
    └── UndefinedError          a metric has no value for an outcome

The command line prints the message of a `BobError` without a traceback. A message says what is
wrong, where, which value was passed, and what would be right.
"""

import difflib
import re
from collections.abc import Collection
from typing import Literal


class BobError(Exception):
    """Base class of all problems that the user can act on."""


class ConfigError(BobError):
    """A registry file, a name or a flag is wrong."""


class UnavailableError(BobError):
    """A backbone or dataset cannot be obtained: no network, gated, or a package is missing."""


class DatasetError(BobError):
    """A dataset's folder, table, labels or splits are wrong."""


class UnreadableImageError(DatasetError):
    """One image cannot be read."""


class ChangedImageError(DatasetError):
    """An image is not the one that the run was planned for: its features belong to no key."""


class BackboneError(BobError):
    """A backbone does not load, or returns wrong rows."""


class OutputError(BackboneError):
    """A backbone does not have the output that is to be read, such as a map of patches."""


class StoreError(BobError):
    """The feature store or the records cannot be read or written."""


class PlanMismatchError(BobError):
    """A plan was made for other weights, images or library versions than those of this process."""


class NotApplicableError(BobError):
    """A task is not defined for this dataset or backbone: neither a failure nor a score of 0.

    `subject` says which of the two rules the task out.
    """

    def __init__(self, reason: str, *, subject: Literal["dataset", "backbone"] = "dataset") -> None:
        super().__init__(reason)
        self.subject = subject


class UndefinedError(BobError):
    """A metric has no value for this outcome; it is never reported as 0."""


OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes.

- OK: everything succeeded; anything skipped was selected by a group, a glob or 'all'.
- FAILED: a cell failed, or something selected by its exact name was unavailable.
- USAGE: the request itself is wrong.
- INTERRUPTED: Ctrl-C.
"""


def nearest(name: str, candidates: Collection[str], cutoff: float = 0.6) -> str:
    """Return the end of a message about an unknown name: `; did you mean 'x'?`, or a full stop.

    A candidate is suggested if it is spelt similarly, or contains all words of `name` in any order.
    """
    similar = difflib.get_close_matches(name, candidates, n=1, cutoff=cutoff)
    words = _words(name)
    reordered = sorted(
        (candidate for candidate in candidates if words and words <= _words(candidate)), key=len
    )
    suggestions = reordered[:1] if reordered and len(words) > 1 else similar
    return f"; did you mean {suggestions[0]!r}?" if suggestions else "."


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, to quote in a message of ours.

    At most 200 characters; the type of an error without a message.
    """
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", name.lower()))
