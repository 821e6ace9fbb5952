"""Damage to bytes, text and nested values, drawn from a random generator."""

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any, Literal

HOSTILE_TEXTS = (
    "", " ", "NaN", "nan", "inf", "-inf", "-1", "-0.0", "0", "1e999", "1e-999", "9" * 400, "0x10",
    "1_000", "1:30", "2026-13-45", "~", "null", "true", "[]", "{}", "é", "ﬁ", "\ud800", "\u202e",
    "\x00", "\x1b[31m", "\r", "\n", "\t", '"', "'", ",", ";", "%s", "{x}", "$HOME", "..", "/", "*",
    "../../etc/passwd", "=1+1", "@SUM(1)", "[bold]", "\\", "\\end{table}", "<script>", "a" * 300,
    "!!python/object:os.system", "&a [*a]", "<<: {a: 1}", "- - - -", "all", "group:core",
    "family:x",
)  # fmt: skip
HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    [], {}, [None], [[]], [1, "a"], {"a": 1}, {"": None}, *HOSTILE_TEXTS[:30],
)  # fmt: skip
_SIZES: tuple[tuple[int, Literal["little", "big"]], ...] = (
    (4, "little"),
    (4, "big"),
    (8, "little"),
)
INTERESTING = tuple(
    value.to_bytes(size, order, signed=value < 0)
    for value in (0, 1, -1, 2**7 - 1, 2**15 - 1, 2**31 - 1)
    for size, order in _SIZES
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to three places damaged."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(BYTE_DAMAGES)(data, rng)
    return data


def truncated(data: bytes, rng: random.Random) -> bytes:
    """Return a true beginning of the bytes."""
    return data[: rng.randrange(len(data))] if data else data


def damaged_text(text: str, rng: random.Random) -> str:
    """Return text in which a line, a word or some characters are replaced."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = rng.choice(TEXT_DAMAGES)(text, rng)
    return text


def damaged_values(values: Any, rng: random.Random) -> Any:
    """Return a copy of nested lists and mappings in which something is replaced or missing."""
    values = copy.deepcopy(values)
    places = list(_places(values))
    for _ in range(rng.choice((1, 1, 2)) if places else 0):
        holder, key = rng.choice(places)
        if isinstance(holder, dict) and key in holder:
            rng.choice(MAPPING_DAMAGES)(holder, key, rng)
        elif isinstance(holder, list) and key < len(holder):
            rng.choice(LIST_DAMAGES)(holder, key, rng)
    return values


def _flip(data: bytes, rng: random.Random) -> bytes:
    return _write(data, rng, lambda old: bytes(value ^ (1 << rng.randrange(8)) for value in old), 1)


def _overwrite(data: bytes, rng: random.Random) -> bytes:
    return _write(data, rng, lambda old: rng.randbytes(len(old)), rng.choice((1, 2, 8, 64)))


def _zero(data: bytes, rng: random.Random) -> bytes:
    return _write(data, rng, lambda old: bytes(len(old)), rng.choice((4, 32, 512)))


def _number(data: bytes, rng: random.Random) -> bytes:
    value = rng.choice(INTERESTING)
    return _write(data, rng, lambda old: value[: len(old)], len(value))


def _write(data: bytes, rng: random.Random, change: Callable[[bytes], bytes], length: int) -> bytes:
    if not data:
        return data
    # Headers are where most decisions are made: half of the damage goes there.
    limit = len(data) if rng.random() < 0.5 else min(len(data), 256)
    at = rng.randrange(limit)
    old = data[at : at + length]
    return data[:at] + change(old) + data[at + len(old) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 7, 100))) + data[at:]


def _remove(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 4, 100)) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    begin = rng.randrange(len(data) + 1)
    part = data[begin : begin + rng.choice((8, 64, 512))]
    return data[:begin] + part + data[begin:]


def _replace_word(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    words[rng.randrange(len(words))] = rng.choice(HOSTILE_TEXTS)
    return " ".join(words)


def _replace_field(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    separator = "," if "," in lines[at] else ":"
    fields = lines[at].split(separator)
    fields[rng.randrange(len(fields))] = rng.choice(HOSTILE_TEXTS)
    lines[at] = separator.join(fields)
    return "\n".join(lines)


def _change_line(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    lines[at : at + 1] = rng.choice(([], [lines[at]] * 2, [f"  {lines[at]}"], [lines[at].strip()]))
    return "\n".join(lines)


def _insert_text(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(HOSTILE_TEXTS) + text[at:]


def _cut_text(text: str, rng: random.Random) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    keys = values if isinstance(values, dict) else range(len(values))
    for key in list(keys):
        yield values, key
        if isinstance(values[key], dict | list):
            yield from _places(values[key])


def _replace_value(holder: Any, key: Any, rng: random.Random) -> None:
    holder[key] = copy.deepcopy(rng.choice(HOSTILE_VALUES))


def _remove_item(holder: Any, key: Any, rng: random.Random) -> None:
    del holder[key]


def _rename_key(holder: dict[str, Any], key: str, rng: random.Random) -> None:
    holder[rng.choice((f"{key}s", key.upper(), *HOSTILE_TEXTS[:20]))] = holder.pop(key)


def _nest(holder: Any, key: Any, rng: random.Random) -> None:
    holder[key] = [holder[key]] if rng.random() < 0.5 else {str(key): holder[key]}


def _repeat_item(holder: list[Any], key: int, rng: random.Random) -> None:
    holder.insert(key, copy.deepcopy(holder[key]))


BYTE_DAMAGES = (_flip, _overwrite, _zero, _number, _insert, _remove, _repeat, truncated)
TEXT_DAMAGES = (_replace_word, _replace_field, _change_line, _insert_text, _cut_text)
MAPPING_DAMAGES = (_replace_value, _replace_value, _remove_item, _rename_key, _nest)
LIST_DAMAGES = (_replace_value, _remove_item, _repeat_item, _nest)
