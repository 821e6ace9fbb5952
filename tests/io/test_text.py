"""Text of others cannot steer a terminal or a spreadsheet."""

import json

import pytest

from bob.io.text import short_count, spreadsheet_text, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", r"\u001b[31mred\u001b]0;title\u0007"),
        ("\x9b31m \x7f \x00 \b", r"\u009b31m \u007f \u0000 \u0008"),
        ("overwritten\rby this", r"overwritten\u000dby this"),
        ("file\u202egnp.exe \u2066x\u2069", r"file\u202egnp.exe \u2066x\u2069"),
        ("not UTF-8: \udcff", r"not UTF-8: \udcff"),
        ("line\u2028line", r"line\u2028line"),
        ("lines\r\nand\ttabs\nstay", "lines\r\nand\ttabs\nstay"),
        ("ViT-B/16 é 🦊 שלום 中 \u200d", "ViT-B/16 é 🦊 שלום 中 \u200d"),
    ],
)
def test_what_is_not_seen_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (768, "768"),
        (1_000, "1 k"),
        (49_152, "49.2 k"),
        (999_600, "1 M"),
        (999_400, "999 k"),
        (3_371_024, "3.37 M"),
        (1_130_000_000, "1.13 G"),
    ],
)
def test_counts_have_three_digits_and_a_unit(count: int, text: str) -> None:
    assert short_count(count) == text


def test_json_stays_the_same_json() -> None:
    value = {"a": "\x9b \u202e \x7f é \n"}
    text = visible(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value and "\x9b" not in text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\n=1", "＝1+1", "＋1"]
)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert spreadsheet_text(text) == "'" + text


def test_no_reader_begins_a_row_inside_a_cell() -> None:
    assert spreadsheet_text("a\r=1\r\n\0") == "a\n=1\n\\u0000"
    assert spreadsheet_text("\r=1") == "'\n=1"


@pytest.mark.parametrize("text", ["", "ViT-B-16", "a=b", "'=1", "–", "0.5", "x@y", "{=}"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert spreadsheet_text(text) == text
