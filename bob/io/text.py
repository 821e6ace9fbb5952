"""Numbers as text, and text of others (names, reasons, tables) made safe for what shows it."""

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    "|\r(?!\n)"
)
"""Control characters except tabs and line breaks, reversals of the direction of writing, and lone
surrogates, by which Python represents bytes that are not UTF-8."""
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
"""Beginning of a cell that spreadsheets calculate: https://owasp.org/www-community/attacks/CSV_Injection."""

COUNT_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


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


def short_number(value: float) -> str:
    """Return a number with 3 significant digits and no exponent below a million: `4590`, `0.77`."""
    return f"{float(f'{value:.3g}'):g}"


def short_count(count: float, digits: int = 3) -> str:
    """Return a number with a unit of thousands and so many significant digits: `3.37 M`, `768`."""
    rounded = float(f"{count:.{digits}g}")
    for size, unit in COUNT_UNITS:
        if rounded >= size:
            return f"{rounded / size:.{digits}g} {unit}"
    return f"{rounded:g}"
