"""Text of others (names, reasons, tables) made safe for terminals and spreadsheets."""

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    "|\r(?!\n)"
)
"""Control characters except tabs and line breaks, reversals of the direction of writing, and lone
surrogates, by which Python represents bytes that are not UTF-8."""
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
"""Beginning of a cell that spreadsheets calculate: https://owasp.org/www-community/attacks/CSV_Injection."""


def visible(text: str) -> str:
    r"""Return text in which nothing steers a terminal or reorders what is shown.

    Characters that are not seen are written as JSON escapes such as `\u001b`, so that JSON stays
    the same JSON.
    """
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def spreadsheet_text(text: str) -> str:
    """Return the content of a cell, with an apostrophe before what would be a formula.

    Carriage returns, at which some readers begin a row even inside quotes, become line feeds.
    """
    if "\r" in text or "\0" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\\u0000")
    return f"'{text}" if _FORMULA.match(text) else text
