"""Amounts as people write them on the command line."""

import argparse


def count(text: str) -> int:
    """'30M' as 30,000,000."""
    factors = {"K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
    number, factor = (
        (text[:-1], factors[text[-1].upper()]) if text[-1:].upper() in factors else (text, 1.0)
    )
    try:
        return int(float(number) * factor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 30M or 500K") from None


def _quantity(text: str, units: dict[str, int], example: str) -> float:
    """'10G' as bytes, '30d' as seconds."""
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not {example}")
    return float(number) * units[unit]


def size(text: str) -> float:
    return _quantity(
        text, {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}, "a size such as 500M or 10G"
    )


def period(text: str) -> float:
    return _quantity(text, {"h": 3600, "d": 86400, "w": 7 * 86400}, "a time such as 12h, 30d or 8w")


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def auto_count(text: str) -> int | None:
    return None if text == "auto" else at_least_one(text)


def seeds(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of different whole numbers such as 0,1,2"
        )
    return tuple(int(part) for part in parts)
