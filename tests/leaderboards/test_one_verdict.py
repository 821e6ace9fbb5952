"""Terminal, Markdown, LaTeX, CSV files, page, `compare` and `recommend` never disagree.

Each reads its verdicts back from what it shows: marks, words, bits and sentences.
"""

import csv
import io
import itertools
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bob.commands.compare import comparison_json
from bob.commands.recommend import advice_json
from bob.leaderboards.advice import advise
from bob.leaderboards.board import Board, make_board
from bob.leaderboards.cells import BoardColumn, board_cells
from bob.leaderboards.limits import BackboneLimits
from bob.leaderboards.page.payload import PageLayout
from bob.leaderboards.pairwise import compare
from bob.leaderboards.render.latex import to_latex
from bob.leaderboards.render.markdown import to_markdown
from bob.leaderboards.render.terminal import leader_sentence, to_terminal
from bob.leaderboards.render.tidy_table import tidy
from bob.leaderboards.render.wide_table import wide
from tests.builders.random_sweeps import RandomSweep, random_sweep

SETS = 80
PER_TEST = 20
Marks = dict[tuple[BoardColumn, str], str]
"""(Column, backbone) → mark, of the cells with a value."""


@pytest.mark.parametrize("first", range(0, SETS, PER_TEST))
def test_all_readers_of_a_verdict_agree(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        sweep = random_sweep(seed)
        board = make_board(sweep.records, sweep.per_example)
        page = Page(PageLayout(board).payload())
        check_columns(board, page)
        check_rankings(board, page)
        check_compare(sweep, board, page)
        check_recommend(sweep, board, page)


def test_the_random_sets_are_of_every_kind() -> None:
    """Otherwise the test above would show little."""
    seen = set()
    for seed in range(60):
        sweep = random_sweep(seed)
        board = make_board(sweep.records, sweep.per_example)
        seen |= {board.overall.basis}
        seen |= {verdicts.status(verdicts.best or "") for verdicts in board.verdicts.values()}
        seen |= {cell.status for cell in board.cells}
        seen |= {"seeds"} if any(cell.seeds > 1 for cell in board.cells) else set()
        seen |= {"clean"} if any(view.clean for view in board.views) else set()
        seen |= {"incomplete"} if board.overall.incomplete else set()
        seen |= {verdicts.test for verdicts in board.verdicts.values()}
        for verdicts in board.verdicts.values():
            relations = {
                verdicts.relation(a, b) for a, b in itertools.combinations(verdicts.order, 2)
            }
            seen |= {"partly tested"} if {"untested"} < relations else set()
    assert seen >= {
        *("datasets", "examples", "none", "clean", "seeds", "incomplete", "partly tested"),
        *("ok", "failed", "undefined", "not_applicable"),
        *("alone", "clear", "tied", "untested"),
        *("mcnemar", "sign_flip", "t", "jackknife"),
    }


# --- one column: terminal, Markdown, LaTeX, CSV files and page


class Page:
    """The verdicts that the page's JSON states, decoded as its scripts do."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.names = [backbone["name"] for backbone in payload["backbones"]]
        tasks = [task["name"] for task in payload["tasks"]]
        datasets = [dataset["name"] for dataset in payload["datasets"]]
        self.columns = [
            BoardColumn(tasks[column["task"]], datasets[column["dataset"]])
            for column in payload["columns"]
        ]
        self.views = {
            (tuple(view["columns"]), view.get("clean", False)): view for view in payload["views"]
        }

    def view(self, *columns: BoardColumn) -> dict[str, Any]:
        indices = tuple(sorted(self.columns.index(column) for column in columns))
        return self.views[indices, False]

    def order(self, view: dict[str, Any]) -> list[str]:
        return [self.names[b] for b in view["order"]]

    def relation(self, view: dict[str, Any], a: str, b: str) -> str:
        order = self.order(view)
        if "tied" not in view or a not in order or b not in order:
            return "untested"
        i, j = sorted((order.index(a), order.index(b)))
        pair = i * (2 * len(order) - i - 1) // 2 + j - i - 1
        if bit(view.get("untested", ""), pair):
            return "untested"
        if bit(view["tied"], pair):
            return "tied"
        return "better" if order.index(a) == i else "worse"

    def status(self, view: dict[str, Any], name: str) -> str | None:
        order = self.order(view)
        if name not in order:
            return None
        if name != order[0]:
            return {"better": "worse"}.get(
                relation := self.relation(view, name, order[0]), relation
            )
        relations = {self.relation(view, name, other) for other in order[1:]}
        for status in ("tied", "untested"):
            if status in relations:
                return status
        return "clear" if relations else "alone"


def bit(base64: str, index: int) -> bool:
    packed = b64decode(base64)
    return bool(packed and packed[index // 8] >> index % 8 & 1)


MARK = {"tied": "≈", "untested": "?"}
WORDS = {"clear": "best", "alone": "best", "untested": "not tested"}


def check_columns(board: Board, page: Page) -> None:
    expected: Marks = {}
    words: dict[tuple[str, str, str], str] = {}
    for column in page.columns:
        view = page.view(column)
        order = page.order(view)
        assert order[:1] == [*filter(None, [board.verdicts[column].best])]
        for name in page.names:
            status = page.status(view, name) or ""
            is_best = name == order[0] if order else False
            if is_best or any(
                page.relation(view, *pair) != "untested"
                for pair in itertools.combinations(order, 2)
            ):
                expected[column, name] = MARK.get(status, "")
            word = WORDS.get(status, status)
            words[column.task, column.dataset, name] = (
                f"best, {word}" if is_best and word != "best" else word
            )
    markdown, terminal, latex = markdown_marks(board), terminal_marks(board), latex_marks(board)
    assert markdown == terminal == latex
    for place, mark in markdown.items():
        assert mark == expected.get(place, ""), place
    for row in csv.DictReader(io.StringIO(tidy(board).to_csv(index=False))):
        if row["primary"] == "True" and row["value"]:
            place = row["task"], row["dataset"], row["backbone"]
            assert row["verdict"] in ("", words[place])
    for row in csv.DictReader(io.StringIO(wide(board).to_csv(index=False))):
        tied = {
            str(column)
            for column in page.columns
            if words[column.task, column.dataset, row["backbone"]].startswith(("best", "tied"))
        }
        assert set(filter(None, row["tied_with_best"].split("; "))) == tied


def markdown_marks(board: Board) -> Marks:
    """Read the marks; exactly the best of a column is bold."""
    marks: Marks = {}
    for columns, rows in markdown_tables(to_markdown(board)):
        for fields in rows:
            name = re.sub(r" \*\(\w+\)\*$", "", fields[0])
            for column, field in zip(columns, fields[2:], strict=False):
                found = re.fullmatch(r"(\**)([\d.-]+(?: \[[^]]*\])?)\**( [≈?])?", field)
                if found and not name.startswith("*"):
                    marks[column, name] = (found[3] or "").strip()
                    assert bool(found[1]) == (board.verdicts[column].best == name)
    return marks


def markdown_tables(text: str) -> Iterator[tuple[list[BoardColumn], list[list[str]]]]:
    """Yield columns and rows; a table of tasks × backbones as backbones × tasks."""
    for section in text.split("\n## ")[1:]:
        title, *lines = section.splitlines()
        table = [line[2:-2].split(" | ") for line in lines if line.startswith("| ")]
        if table and table[0][0] == "task":
            head, _, *body = table
            first, *rest = zip(head, *body, strict=True)
            table = [list(first), [], *map(list, rest)]
            table[0][:2] = ["backbone", "params (M)"]
        if not table or table[0][:2] != ["backbone", "params (M)"]:
            continue
        heads = [name for name in table[0][2:] if name != "mean"]
        if title.startswith("Results on "):
            dataset = title.removeprefix("Results on ")
            yield [BoardColumn(head.split(" (")[0], dataset) for head in heads], table[2:]
        else:
            yield [BoardColumn(title, dataset) for dataset in heads], table[2:]


def terminal_marks(board: Board) -> Marks:
    console = Console(file=io.StringIO(), width=400, color_system=None)
    console.print(to_terminal(board))
    assert isinstance(console.file, io.StringIO)
    marks: Marks = {}
    task, heads, is_single, by_task = "", [], False, False
    for line in console.file.getvalue().splitlines():
        if title := re.match(r"(.+?)(: \w+)? \[95 % CI\]", line):
            task, is_single = title[1], title[2] is None
        fields = [field.strip() for field in re.split("[│┃]", line)[1:-1]]
        if fields[:1] in (["backbone"], ["task"]):
            by_task = fields[0] == "task"
            heads = [name for name in fields[2:] if name != "mean"]
        elif fields:
            for head, field in zip(heads, fields[2:], strict=False):
                if found := re.fullmatch(r"[\d.-]+(?: \[[^]]*\])?( [≈?])?", field):
                    name, other = (head, fields[0]) if by_task else (fields[0], head)
                    column = (
                        BoardColumn(other.split()[0], task)
                        if is_single
                        else (BoardColumn(task, other))
                    )
                    marks[column, re.sub(r" \(\w+\)$", "", name)] = (found[1] or "").strip()
    return marks


def latex_marks(board: Board) -> Marks:
    marks: Marks = {}
    for table in to_latex(board).split(r"\begin{table}")[1:]:
        rows = [
            line.removesuffix(r" \\").split(" & ") for line in table.splitlines() if " & " in line
        ]
        if single := re.search(r"\\caption\{Results on (.+), shares", table):
            heads, *body = rows
            if heads[0] == "Task":  # tasks × backbones
                _, _, *heads = heads
                body = [
                    [heads[i], "", *texts]
                    for i, texts in enumerate(zip(*(row[2:] for row in body), strict=True))
                ]
                heads = ["", "", *(row[0] for row in rows[1:])]
            columns = [BoardColumn(task, single[1]) for task in heads[2:]]
        else:
            task = re.search(r"\\caption\{(.+): [\w\\]+, shares", table)
            assert task
            columns = [BoardColumn(task[1], dataset) for dataset in rows[0][2:-1]]
            body = [fields[:-1] for fields in rows[1:]]
        for fields in body:
            name = re.sub(r" \(\w+\)$", "", fields[0])
            for column, field in zip(columns, fields[2:], strict=True):
                if re.search(r"\d+\.\d", field):
                    symbol = re.search(r"\$\^(\\dagger|\?)\$", field)
                    mark = {r"\dagger": "≈", "?": "?"}[symbol[1]] if symbol else ""
                    marks[BoardColumn(column.task.replace("\\_", "_"), column.dataset), name] = mark
    return marks


# --- several columns: the page, ranking files, the leader's sentence


def check_rankings(board: Board, page: Page) -> None:
    measured = [cell.column for cell in board.cells if cell.record.external is None]
    if not measured or board.overall.origin is not None:
        return
    tasks = {column.task: board.by_task[column.task] for column in measured}
    views = [(board.overall, page.view(*page.columns))]
    views += [
        (ranking, page.view(*(column for column in page.columns if column.task == task)))
        for task, ranking in tasks.items()
        if ranking.standings
    ]
    for ranking, view in views:
        assert list(ranking.pool) == page.order(view)
        assert ranking.basis == view["basis"]
        if not ranking.standings:
            continue
        best, *others = ranking.pool
        first_group = {s.backbone for s in ranking.standings if s.tie_group == 1} - {best}
        assert first_group == {name for name in others if page.relation(view, name, best) == "tied"}
        sentence = leader_sentence(ranking)
        if "statistically tied with it" in sentence:
            named = re.search(r"statistically tied with it: ([^.;]*)[.;]", sentence)
            assert named and set(named[1].split(", ")) == first_group
        elif len(ranking.settings) > 1 and others:
            assert not first_group
            clear = all(page.relation(view, name, best) == "worse" for name in others)
            assert ("; all others are significantly worse" in sentence) == clear


# --- compare and recommend


def check_compare(sweep: RandomSweep, board: Board, page: Page) -> None:
    cells = board_cells(board.records)
    everything = page.view(*page.columns)
    names = [name for name in page.names if not name.startswith("p")]
    pairs = list(itertools.permutations(names, 2))
    chosen = np.random.default_rng(len(cells)).permutation(len(pairs))[:3]
    for a, b in (pairs[i] for i in chosen):
        verdict = {
            "better": f"{a} is better",
            "worse": f"{b} is better",
            "tied": "statistically tied",
            "untested": "not tested",
        }
        found = comparison_json(compare(a, b, cells, sweep.per_example))
        for setting in found["settings"]:
            view = page.view(BoardColumn(setting["task"], setting["dataset"]))
            if {a, b} <= set(page.order(view)):
                assert setting["verdict"] == verdict[page.relation(view, a, b)]
        if {a, b} <= set(page.order(everything)):
            assert found["overall"]["verdict"] == verdict[page.relation(everything, a, b)]


def check_recommend(sweep: RandomSweep, board: Board, page: Page) -> None:
    if board.overall.origin is not None:
        return
    everything = page.view(*page.columns)
    rng = np.random.default_rng(len(board.cells))
    for limits in (
        BackboneLimits(),
        BackboneLimits(max_params=int(rng.integers(1, 100)) * 1_000_000),
        BackboneLimits(min_images_per_s=float(rng.integers(10, 1000))),
    ):
        advice = advice_json(advise(board.records, limits, sweep.per_example))
        outside = {*advice["excluded"], *advice["not_comparable"]}
        order = [name for name in page.order(everything) if name not in outside]
        assert list(advice["candidates"]) == order
        assert (advice["pick"] or {}).get("backbone") == (order[0] if order else None)
        if not order:
            continue
        by_relation = {
            relation: [
                name for name in order[1:] if page.relation(everything, name, order[0]) == relation
            ]
            for relation in ("tied", "untested")
        }
        assert [other["backbone"] for other in advice["tied"]] == by_relation["tied"]
        assert list(advice["not_tested"]) == by_relation["untested"]
        text = " ".join(advice["sentences"])
        is_clear = len(order) > 1 and not any(by_relation.values())
        assert ("are significantly worse." in text) == is_clear
        best = page.order(everything)[0]
        if order[0] != best:
            phrase = {
                "better": "this difference is what the limits cost",
                "tied": "the limits may cost nothing",
                "untested": "whether the limits cost anything cannot be tested",
            }[page.relation(everything, best, order[0])]
            assert phrase in text
