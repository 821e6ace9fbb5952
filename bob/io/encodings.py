"""Output in encodings that lack some characters: ASCII, Latin-1 and others.

Typographic characters are replaced by plain ones, of the same width where they occur in tables;
letters lose their accents; what has no likeness is written as an escape. UTF-8 loses nothing.
"""

import codecs
import contextlib
import io
import unicodedata
from typing import TextIO

HANDLER = "bob-plain"
_PLAIN = {
    "–": "-", "—": "-", "−": "-", "‑": "-", "·": "|", "•": "*", "…": ".", "×": "x", "±": "+-",
    "≈": "~", "≤": "<=", "≥": ">=", "→": "->", "←": "<-", "↑": "^", "↓": "v", "✓": "+", "✗": "x",
    "‘": "'", "’": "'", "“": '"', "”": '"', "µ": "u", "ß": "ss", "λ": "lambda",
    "Δ": "Delta", "χ": "chi",
    "│": "|", "─": "-", "┃": "|", "━": "=", "█": "#", "░": ".",
}  # fmt: skip


def allow_any_encoding(*streams: TextIO) -> None:
    """Let streams write any text in their own encodings, instead of failing at a character."""
    codecs.register_error(HANDLER, _replaced)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError, OSError):  # it is closed
                stream.reconfigure(errors=HANDLER)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Replace the characters that an encoding lacks; a handler of `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_plain, text)), error.end


def _plain(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return letters or character.encode("ascii", "backslashreplace").decode()
