"""YAML that reads in more than one way, or in none, is an error that names file and line."""

import json
from pathlib import Path

import pytest

from bob.errors import ConfigError
from bob.specs.yaml import read_yaml

FAULTS = {
    "a control character": ("a: 1\nb: x\x07y\n", "line 2: the control character '\\x07'"),
    "an escape sequence": ("a: 1\n\nb: \x1b[31m\n", "line 3: the control character '\\x1b'"),
    "a null byte": ("a: \0\n", "line 1: the control character '\\x00'"),
    "a C1 control character": ("a: \x9b31m\n", "line 1: the control character '\\x9b'"),
    "an escaped control character": ('a: 1\nb: "\\e[31m"\n', "line 2: text with the control"),
    "an escaped null byte": ('a: "x\\0"\n', "line 1: text with the control character '\\x00'"),
    "a control character in a key": ('"a\\x07": 1\n', "line 1: text with the control character"),
    "an impossible date": ("a: 1\nb: 2024-13-45\n", "line 2: '2024-13-45' is a date in YAML"),
    "a date": ("a: 2024-01-05\n", "line 1: '2024-01-05' is a date in YAML: quote it"),
    "a time": ("a: 2024-01-05 10:61:00\n", "line 1: '2024-01-05 10:61:00' is a date"),
    "a tagged word": ("a: 1\nb: !!int x\n", "line 2: could not determine a constructor"),
    "a tagged number": ("a: !!float 1\n", "tags are not allowed, write the value alone"),
    "a tagged mapping": ("a: !!set {x}\n", "line 1: could not determine a constructor"),
    "a tagged list": ("a:\n  - !!omap [x: 1]\n", "line 2: could not determine a constructor"),
    "binary data": ("a: !!binary eA==\n", "line 1: could not determine a constructor"),
    "an object": ("a: !!python/object:os.system {}\n", "line 1: could not determine"),
    "5,000 digits": (f"a: 1\nb: {'9' * 5000}\n", "line 2: the number '9999"),
    "5,000 digits after a point": (f"a: 1.0e+{'9' * 5000}\n", "is not finite"),
    "an integer beyond 64 bits": ("a: 9223372036854775808\n", "is too large: quote it"),
    "octal": ("a: 1\nb: 010\n", "line 2: '010' is a number in another base in YAML: quote it"),
    "hexadecimal": ("a: 0x1F\n", "line 1: '0x1F' is a number in another base"),
    "sexagesimal": ("a: 1:30\n", "line 1: '1:30' is a number in another base"),
    "sexagesimal with a fraction": ("a: 190:20:30.15\n", "is a number in another base"),
    "infinity": ("a: .inf\n", "line 1: the number '.inf' is not finite: quote it"),
    "not a number": ("a: [.NaN]\n", "line 1: the number '.NaN' is not finite"),
    "overflow": ("a: 1.0e+400\n", "line 1: the number '1.0e+400' is not finite"),
    "an equals sign": ("a: =\n", "line 1: '=' is a special value in YAML: quote it"),
    "a merge key": ("a:\n  <<: {b: 1}\n", "line 2: merge keys are not allowed"),
    "a merge key as value": ("a: <<\n", "line 1: '<<' is a merge key in YAML: quote it"),
    "a number as key": ("a: {1: 2}\n", "line 1: key 1 is not text: quote it"),
    "a word that is true as key": ("a: 1\non: 2\n", "line 2: key True is not text: quote it"),
    "nothing as key": ("a: 1\n~: 2\n", "line 2: key None is not text: quote it"),
    "a list as key": ("a: 1\n? [b]\n: 2\n", "line 2: key ['b'] is not text: quote it"),
    "a mapping as key": ("? {b: 1}\n: 2\n", "line 1: key {'b': 1} is not text: quote it"),
    "a key twice": ("a: {b: 1,\n b: 2}\n", "line 2: key 'b' is repeated: remove one"),
    "two documents": ("---\na: 1\n---\nb: 2\n", "line 3: but found another document: a file"),
    "a directive": ("%YAML 9.9\n---\na: 1\n", "line 1: found incompatible YAML document"),
    "deep lists": ("a: " + "[" * 100_000 + "\n", "line 1: "),
    "nested lists": ("a: " + "[" * 500 + "\n", "line 1: nested deeper than 100 levels"),
    "deep mappings": ("a: " + "{b: " * 5_000 + "\n", "line 1: nested deeper than 100 levels"),
    "a bomb of anchors": (
        "a: &a [x]\n"
        + "".join(f"{n}: &{n} [*{m}, *{m}]\n" for m, n in zip("abc", "bcd", strict=True)),
        "line 1: anchors and aliases are not allowed: write the value out",
    ),
    "an anchor of itself": ("a: &a [*a]\n", "line 1: anchors and aliases are not allowed"),
    "an unfinished text": ("a: 'x\n", "line 2: found unexpected end of stream"),
    "nothing": ("", "must contain a mapping of keys to values; got NoneType"),
    "a list": ("- a\n", "must contain a mapping of keys to values; got list"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_reads_in_more_than_one_way_is_an_error(tmp_path: Path, fault: str) -> None:
    text, message = FAULTS[fault]
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        read_yaml(path)
    assert str(raised.value).startswith(f"{path}: ") and message in str(raised.value)
    assert len(str(raised.value)) < 500 + len(str(path))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: \xff\n", "is not UTF-8 text (byte 3)"),
        ("a: 1\n".encode("utf-16"), "is not UTF-8 text (byte 0)"),
        (b"#" * (2**24 + 1), "is larger than 16,777,216 characters; is it a registry?"),
    ],
)
def test_a_file_that_is_no_text_is_an_error(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as raised:
        read_yaml(path)
    assert message in str(raised.value)


def test_a_folder_or_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    for path in (tmp_path, loop, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_yaml(path)


def test_plain_values_are_read_as_they_are_in_json(tmp_path: Path) -> None:
    """A byte order mark, other scripts, and every plain kind of value; quoted ones are text."""
    text = """
name: Größe 🦊 שלום
none: ~
empty:
truth: [true, False, yes, off]
whole: [0, -7, +3, 1_000, 9223372036854775807]
real: [1.0e-3, -0.5, 2., 1_0.5, 1.0e+3]
quoted: ["010", '1:30', "2024-01-05", ".inf", "<<", "=", "1"]
words: [1e-3, v1.10.0, 08, a:b, "x\\ty\\n"]
block: |
  two
  lines
"""
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    expected = {
        "name": "Größe 🦊 שלום",
        "none": None,
        "empty": None,
        "truth": [True, False, True, False],
        "whole": [0, -7, 3, 1000, 2**63 - 1],
        "real": [0.001, -0.5, 2.0, 10.5, 1000.0],
        "quoted": ["010", "1:30", "2024-01-05", ".inf", "<<", "=", "1"],
        "words": ["1e-3", "v1.10.0", "08", "a:b", "x\ty\n"],
        "block": "two\nlines\n",
    }
    assert json.dumps(read_yaml(path)) == json.dumps(expected)
