"""Names and reasons of others are shown literally in every file, and calculate or run nowhere."""

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from bob.commands.terminal import Terminal
from bob.leaderboards.board import make_board
from bob.leaderboards.render.figures import write_figures
from bob.leaderboards.render.latex import escape as latex
from bob.leaderboards.render.latex import to_latex
from bob.leaderboards.render.markdown import escape as markdown
from bob.leaderboards.render.markdown import to_markdown
from bob.leaderboards.render.terminal import to_terminal
from bob.leaderboards.write import write_leaderboard
from bob.records.record import Record
from tests.builders.leaderboard_records import dataset, facts, failed, record, score, task

FORMULA = "=cmd|' /C calc'!A0"
STEERING = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\rx"


def hostile(text: str) -> list[Record]:
    """Return records with `text` wherever a record has text that reaches a file."""
    of_task = task(text, metrics=("top1", text))
    data = dataset(text, split_origin={"kind": text}, licence=text, notes=(text,))
    scores = (
        score("top1", 0.5),
        score(f"top1_{text}", 0.5, facets={text: text, "shift": text}),
        score("top1_x", None, undefined=text),
    )
    of_backbone = facts(
        text,
        weights=text,
        weights_hash=text,
        licence=text,
        output=text,
        geometry={"interpolation": text, "preprocessing": text},
    )
    return [
        record(
            name,
            task=of_task,
            dataset=data,
            scores=scores,
            backbone=of_backbone,
            details=({text: text},),
            key=text + name,
            provenance={"created": text, "bob": text},
        )
        for name in (text, f"{text}2")
    ] + [failed("b", text, task=of_task, dataset=data), failed("c", text)]


@pytest.mark.parametrize(
    "text", [FORMULA, "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", " =1", "＝1", '=1,"2"\n=3']
)
def test_no_cell_of_a_csv_file_is_a_formula(tmp_path: Path, text: str) -> None:
    paths = write_leaderboard(hostile(text), tmp_path)
    files = [path for path in paths if path.suffix == ".csv"]
    assert [path.name for path in files] == [
        "leaderboard.csv",
        "leaderboard_wide.csv",
        "ranking.csv",
        "ranking_by_task.csv",
    ]
    for path in files:
        rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
        shown = text.replace("\r", "\n")  # at which some readers begin a row
        assert any(f"'{shown}" in cell for row in rows for cell in row), path
        for cell in (cell for row in rows for cell in row):
            is_number = re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell)
            assert is_number or cell.strip()[:1] not in ("=", "+", "-", "@", "＝"), path


def test_negative_numbers_stay_numbers(tmp_path: Path) -> None:
    of_task = task(metrics=("drop",))
    write_leaderboard([record("a", -0.25, task=of_task, scores=(score("drop", -0.25),))], tmp_path)
    (row,) = csv.DictReader((tmp_path / "leaderboard.csv").read_text().splitlines())
    assert float(row["value"]) == -0.25


# --- terminal


def test_no_control_sequence_of_a_record_reaches_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    terminal, board = Terminal(), make_board(hostile(STEERING))
    terminal.render(to_terminal(board))
    for show in (terminal.print, terminal.note, terminal.error, terminal.write_line):
        show(STEERING)
    terminal.cell_ends(board.records[0])
    terminal.print_written([Path(STEERING)])
    out, err = capfd.readouterr()
    assert not set("\x1b\x07\x9b\u202e\r") & set(out + err)
    assert r"\u001b[2J" in out and r"\u001b[2J" in err


def test_colours_of_our_own_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, rich's own sequences are written, and only those."""
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.StringIO()
    terminal = Terminal()
    console = type(terminal.out)(
        file=stream, force_terminal=True, color_system="standard", highlight=False
    )
    assert isinstance(console, Console)
    console.print("[red]a[/red] \x1b[32mb")
    assert stream.getvalue() == "\x1b[31ma\x1b[0m \\u001b[32mb\n"


def test_a_record_is_printed_as_json_without_control_characters(
    capfd: pytest.CaptureFixture[str],
) -> None:
    text = hostile(STEERING)[0].model_dump_json(indent=1)
    Terminal().write_line(text)
    out = capfd.readouterr().out
    assert json.loads(out) == json.loads(text) and "\x9b" not in out


# --- LaTeX


@pytest.mark.parametrize("name", ["[1] ResNet", "* ResNet", "[2ex]", "*[1ex] x"])
def test_no_name_is_the_argument_of_a_line_end_or_a_rule(name: str) -> None:
    r"""`\\`, `\midrule` and `\toprule` look for `*` and `[` beyond spaces and line ends."""
    text = to_latex(make_board([record(name, 0.5), record(f"{name}2", 0.25)]))
    assert not re.search(r"(\\\\|rule)\s*[*\[]", text)
    assert text.count("ResNet") == 2 * ("ResNet" in name)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("100 % & $x_1^2$ #1 ~", r"100 \% \& \$x\_1\textasciicircum{}2\$ \#1 \textasciitilde{}"),
        ("[a]", "{[}a{]}"),
        ("a--b---c", "a{-}-b{-}{-}-c"),
        ("``x''", r"\textasciigrave{}\textasciigrave{}x{'}'"),
        ('"a', r'{\string"}a'),
        ("a\n\nb\tc", "a b c"),
        ("\x1b[31m", r"\textbackslash{}u001b{[}31m"),
        ("ViT-B/16 (x=1, y:2)", "ViT-B/16 (x=1, y:2)"),
    ],
)
def test_latex_shows_text_verbatim(text: str, escaped: str) -> None:
    assert latex(text) == escaped


def test_no_control_character_reaches_latex_or_markdown() -> None:
    board = make_board(hostile(STEERING))
    for text in (to_latex(board), to_markdown(board)):
        assert not set("\x1b\x07\x9b\u202e\r") & set(text)


# --- Markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("_a_ b_c __d__", r"\_a\_ b_c \_\_d\_\_"),
        ("$x$", r"\$x\$"),
        ("# title #", r"\# title \#"),
        ("1. item", r"1\. item"),
        ("- item", r"\- item"),
        ("+ item", r"\+ item"),
        ("![x](y)", r"!\[x\](y)"),
        ("a-b 1.5 c#", "a-b 1.5 c\\#"),
    ],
)
def test_markdown_shows_text_verbatim(text: str, escaped: str) -> None:
    assert markdown(text) == escaped


def test_a_metric_s_name_cannot_end_its_code_or_its_table() -> None:
    text = to_markdown([record("a", task=task(metrics=("`<b>|x`",)), scores=())])
    assert r"Metric \`\<b\>\|x\`." in text


# --- figures


@pytest.mark.parametrize("text", [FORMULA + "$x_1$ \\frac{", STEERING + "<b>&--\x00"])
def test_figures_show_hostile_text_as_well_formed_svg(tmp_path: Path, text: str) -> None:
    paths = write_figures(make_board(hostile(text)), tmp_path)
    assert "shifts.svg" in {path.name for path in paths}
    for path in paths:
        if path.suffix == ".svg":
            ElementTree.parse(path)
