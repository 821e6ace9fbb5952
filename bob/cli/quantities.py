"""Types of command-line arguments: counts, sizes, periods and seeds."""

import argparse
import math
from typing import NamedTuple


class BudgetArgument(NamedTuple):
    """What a race may take: one of the two, or nothing for no limit."""

    seconds: float | None = None
    images: int | None = None


def budget(text: str) -> BudgetArgument:
    """Parse a time, '30m', '2h' or '90s', or a number of images, '20000'."""
    if text.isdecimal() and int(text) > 0:
        return BudgetArgument(images=int(text))
    units = {"s": 1, "m": 60, "h": 3600}
    seconds = _quantity(text, units, "a time such as 30m or 2h, or a number of images")
    return BudgetArgument(seconds=seconds)


def count(text: str) -> int:
    """Parse a number with an optional suffix K, M, G or B: '30M' is 30,000,000."""
    factors = {"K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
    number, factor = text, 1.0
    if text[-1:].upper() in factors:
        number, factor = text[:-1], factors[text[-1].upper()]
    try:
        value = float(number) * factor
        if value < 0:
            raise ValueError("negative")
        return int(value)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 30M or 500K") from None


def amount(text: str) -> float:
    """Parse a finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0, such as 4.5")
    return value


def size(text: str) -> float:
    """Parse a size and return it in bytes: '10G' is 10 × 2³⁰."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    return _quantity(text, units, "a size such as 500M or 10G")


def period(text: str) -> float:
    """Parse a period and return it in seconds: '30d' is 30 × 86,400."""
    units = {"h": 3600, "d": 86400, "w": 7 * 86400}
    return _quantity(text, units, "a time such as 12h, 30d or 8w")


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """Parse a seed, a whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def auto_count(text: str) -> int | None:
    """Parse a whole number of at least 1, or 'auto', which is None."""
    return None if text == "auto" else positive_int(text)


def seeds(text: str) -> tuple[int, ...]:
    """Parse a comma-separated list of distinct seeds."""
    parts = text.split(",")
    are_numbers = all(part.isdecimal() for part in parts)
    if not are_numbers or len({int(part) for part in parts}) < len(parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of different whole numbers such as 0,1,2"
        )
    return tuple(int(part) for part in parts)


def two_names(text: str) -> tuple[str, str]:
    """Parse two different names: 'a,b'."""
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not two different names such as a,b")
    return names[0], names[1]


def part(text: str) -> tuple[int, int]:
    """Parse a part of a plan: '3/8' is the third of eight."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 1/8 or 8/8")
    return int(number), int(count)


def share(text: str) -> float:
    """Parse a fraction between 0 and 1, both excluded."""
    return _fraction(text, above=0)


def margin(text: str) -> float:
    """Parse a fraction between -1 and 1."""
    return _fraction(text, above=-1)


def _fraction(text: str, above: float) -> float:
    """Parse a number above `above` and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = above
    if not above < value < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a fraction above {above:g} and below 1, such as 0.05"
        )
    return value


def _quantity(text: str, units: dict[str, int], expected: str) -> float:
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return float(number) * units[unit]
