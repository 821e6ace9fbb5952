"""The leaderboard's files: which records are comparable, what is averaged, order, round trips."""

import csv
import json
import random
import subprocess
import sys
from io import StringIO
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bob.errors import StoreError
from bob.leaderboards import (
    board_cells,
    comparable,
    make_board,
    tidy,
    to_html,
    to_markdown,
    to_terminal,
    wide,
    write_leaderboard,
)
from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.page.html import script_json
from bob.leaderboards.render import tidy_table
from bob.leaderboards.render.csv_text import csv_text
from bob.leaderboards.render.text import board_notes, cell_text
from bob.leaderboards.render.tidy_table import MACHINE, TIDY, tidy_csv
from bob.records.data_report import DataReport, SharedImages, SplitReport
from bob.records.record import Record
from tests.builders.leaderboard_records import dataset, facts, failed, record, score, task

FILES = [
    "leaderboard.html",
    "leaderboard.csv",
    "leaderboard_wide.csv",
    "ranking.csv",
    "ranking_by_task.csv",
    "leaderboard.md",
    "leaderboard.tex",
]
HOSTILE = "<script>alert(1)</script> \"quoted\" & 'single' | pipe\n# 🦊 שלום " + "x" * 300


def sweep() -> list[Record]:
    """Two tasks × two datasets; `best` has 0.9 everywhere, `good` fails once, one baseline."""
    records = []
    for name, family, value in (
        ("best", "ssl", 0.9),
        ("good", "clip", 0.8),
        ("pixels", "baseline", 0.5),
    ):
        for data in (dataset("elpv"), dataset("textiles", "print-2")):
            for of_task in (task("linear"), task("knn", metrics=("top1",))):
                fields: dict[str, Any] = {"family": family, "dataset": data, "task": of_task}
                if (name, data.name, of_task.name) == ("good", "textiles", "knn"):
                    records.append(failed(name, **fields))
                else:
                    records.append(record(name, value, **fields))
    return records


# --- leaderboard.csv


def test_tidy_columns_and_their_order() -> None:
    assert ",".join(tidy(sweep()).columns) == (
        "backbone,family,baseline,task,task_version,dataset,metric,seed,value,low,high,n,interval,"
        "undefined,majority,chance,status,reason,primary,verdict,p_holm,external,fused,output,weights_hash,input_px,grid,crop_pct,"
        "interpolation,preprocessing,mean,std,precision,width,params,gflops,weights_mib,peak_mib,"
        "licence,chosen,train,val,test,bad_images,limit,split_kind,dataset_fingerprint,record_key,"
        "device,device_name,runtime,threads,batch_size,images_per_s,decode_images_per_s,"
        "probe_seconds,created"
    )
    assert list(TIDY)[-len(MACHINE) :] == list(MACHINE)


def test_tidy_has_one_row_per_score_in_the_tasks_order() -> None:
    scores = (
        score("ece", 0.1, 1),
        score("top1_k20", 0.7, 1),
        score("top1", 0.8, 1),
        score("top1", 0.6, 0),
        score("top1_k5", 0.7, 1),
    )
    frame = tidy([record("a", scores=scores, seeds=(0, 1), details=({"k": 5}, {"k": 20}))])
    assert list(zip(frame["metric"], frame["seed"], strict=True)) == [
        ("top1", 0),
        ("top1", 1),
        ("top1_k5", 1),
        ("top1_k20", 1),
        ("ece", 1),
    ]
    assert frame["primary"].tolist() == [True, True, False, False, False]
    assert [json.loads(text)["k"] for text in frame["chosen"]] == [5, 20, 20, 20, 20]


def test_tidy_row_states_its_record() -> None:
    bad_images = {"train": ["a.png", "b.png"], "test": ["c.png"]}
    data = dataset(bad_images=bad_images, limit=100)
    row = tidy([record("lite0", 1 / 3, dataset=data)]).iloc[0]
    expected = {
        "value": 1 / 3,
        "train": 1574,
        "val": 394,
        "test": 650,
        "bad_images": 3,
        "limit": 100,
        "input_px": "224",
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "output": "default",
        "mean": "[0.5, 0.5, 0.5]",
        "weights_hash": "hash-of-lite0",
        "split_kind": "documented",
        "device": "cpu",
        "images_per_s": 130.9,
        "created": "2026-01-01T10:00:00Z",
    }
    assert row[list(expected)].to_dict() == expected


def test_a_failed_record_is_one_row_without_value() -> None:
    frame = tidy([failed("broken", "out of memory", dataset=None)])
    assert len(frame) == 1
    row = frame.iloc[0]
    assert (row["status"], row["reason"]) == ("failed", "out of memory")
    assert (row["metric"], row["primary"]) == ("top1", True)
    missing = ["value", "low", "high", "n", "weights_hash", "dataset_fingerprint"]
    assert frame[missing].isna().all(axis=None)


def test_an_undefined_score_states_the_reason() -> None:
    undefined = score("top1", None, undefined="there are no test examples")
    row = tidy([record("a", scores=(undefined,))]).iloc[0]
    assert pd.isna(row["value"])
    assert row["undefined"] == "there are no test examples"


def test_csv_round_trip(tmp_path: Path) -> None:
    values = [1 / 3, 0.1 + 0.2, 2 / 3, 1e-17, 1.0]
    records = [record(f"b{index}", value) for index, value in enumerate(values)]
    write_leaderboard(records, tmp_path)
    text = (tmp_path / "leaderboard.csv").read_bytes().decode()
    assert "\r" not in text
    assert text.endswith("\n")
    assert [float(row["value"]) for row in csv.DictReader(StringIO(text))] == values
    read = pd.read_csv(StringIO(text), dtype=TIDY)
    pd.testing.assert_frame_equal(read.fillna(pd.NA), tidy(records).fillna(pd.NA))


def test_files_without_records(tmp_path: Path) -> None:
    write_leaderboard([], tmp_path)
    assert (tmp_path / "leaderboard.csv").read_text().splitlines() == [",".join(TIDY)]
    assert "No records yet." in (tmp_path / "leaderboard.md").read_text()
    assert "No cell has a value yet." in (tmp_path / "leaderboard.html").read_text()


@pytest.mark.parametrize("seed", range(5))
def test_files_do_not_depend_on_the_order_of_records(tmp_path: Path, seed: int) -> None:
    records = [
        *sweep(),
        record("best", 0.1, family="ssl", dataset=dataset(fingerprint="old"), day=1),
        *[record(f"twin{i}", 0.8) for i in range(3)],
    ]
    shuffled = random.Random(seed).sample(records, len(records))
    write_leaderboard(records, tmp_path / "a")
    paths = write_leaderboard(shuffled, tmp_path / "b")
    assert [path.name for path in paths] == FILES
    assert {path.name for path in (tmp_path / "b").iterdir()} == set(FILES)  # no temporary files
    for path in paths:
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()


def test_only_the_machine_columns_depend_on_the_machine() -> None:
    cost = record("a").cost
    assert cost is not None
    other_cost = cost.model_copy(
        update={
            "device": "cuda",
            "device_name": "a card",
            "runtime": "compile",
            "threads": 1,
            "batch_size": 256,
            "images_per_s": 9e3,
            "decode_images_per_s": 3e2,
            "probe_seconds": 0.1,
        }
    )
    other = record("a", cost=other_cost, provenance={"created": "2027"})
    left, right = tidy([record("a")]), tidy([other])
    differing = [
        name
        for name in TIDY
        if left[name].tolist() != right[name].tolist()
        and not (left[name].isna() & right[name].isna()).all()
    ]
    assert differing == list(MACHINE)


@pytest.mark.parametrize(
    "reason",
    [
        "out of memory",
        'a "quote", a comma\nand a line',
        "a record separator \x1e\nbefore a line break",
    ],
)
@pytest.mark.parametrize("at_a_time", [1, 2, 4096])
def test_the_csv_text_is_that_of_the_frame(
    reason: str, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte what pandas writes for the whole frame, whatever a field contains."""
    monkeypatch.setattr(tidy_table, "RECORDS_AT_A_TIME", at_a_time)
    scores = (
        score("top1", 0.5, seed=0),
        score("top1_k20", 1 / 3, seed=0, facets={"k": 20}),
        score("ece", None, undefined="no, never"),
    )
    records = [
        record("a", scores=scores, seeds=(0,)),
        failed("b", reason, dataset=None),
        record("c", 1.0),
    ]
    assert "".join(tidy_csv(records)) == csv_text(tidy(records))
    assert csv_text(tidy(records)) == tidy(records).to_csv(index=False, lineterminator="\n")


# --- comparable records


@pytest.mark.parametrize(
    "changes",
    [{"task": task(version=2)}, {"task": task(c=10)}, {"dataset": dataset(fingerprint="print-2")}],
    ids=["version", "settings", "fingerprint"],
)
def test_only_the_newest_comparable_group_is_kept(changes: dict[str, Any]) -> None:
    old = [record("a", day=1), record("b", day=2)]
    new = [record("a", day=3, **changes)]
    kept, set_aside = comparable(new + old)
    assert kept == new
    assert [(aside.record, aside.reason) for aside in set_aside] == [
        (old[0], "different settings or data"),
        (old[1], "different settings or data"),
    ]
    notes = board_notes(make_board(new + old))
    assert notes[-1] == "2 records set aside: 2 (different settings or data)."


def test_a_new_group_does_not_affect_other_columns() -> None:
    elsewhere = record("a", dataset=dataset("textiles"), day=1)
    kept, _ = comparable(
        [record("a", day=1), elsewhere, record("b", dataset=dataset(fingerprint="print-2"), day=2)]
    )
    names = [(kept_record.backbone_name, kept_record.dataset_name) for kept_record in kept]
    assert names == [("b", "elpv"), ("a", "textiles")]


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({"fingerprint": "print-2"}, False),
        ({"fingerprint": "print-of-200", "limit": 200}, True),
        # a task that reads a shift has another fingerprint, which says nothing of train and test
        ({"fingerprint": "with-shift", "counts": {**dataset().counts, "night": 9}}, True),
        ({"fingerprint": "with-shift", "counts": {"train": 1575, "test": 650, "night": 9}}, False),
        (
            {
                "fingerprint": "with-shift",
                "counts": {"train": 1573, "test": 650, "night": 9},
                "bad_images": {"train": ["a.png is empty"]},
            },
            True,
        ),
    ],
    ids=str,
)
def test_tasks_on_other_images_of_the_same_name_are_set_aside(
    changes: dict[str, Any], is_kept: bool
) -> None:
    old = record("a", task=task("knn"), dataset=dataset(**changes), day=1)
    new = [record("a", day=2), record("b", day=1)]
    kept, set_aside = comparable([old, *new])
    assert kept == ([old, *new] if is_kept else new)
    reason = "different images or labels than in other tasks"
    assert set_aside == ([] if is_kept else [(old, reason)])


def test_the_newest_record_of_a_backbone_is_kept() -> None:
    newer = record("a", 0.7, day=2)
    other = record("b", day=1)
    kept, set_aside = comparable([newer, record("a", 0.6, day=1), other])
    assert kept == [newer, other]
    assert [aside.reason for aside in set_aside] == ["superseded by a newer record"]


def test_two_checkpoints_are_never_shown_under_one_name() -> None:
    old = record("a", 0.9, dataset=dataset("textiles"), day=1)
    new = record("a", 0.8, day=2, backbone=facts("a", weights_hash="retrained"))
    kept, set_aside = comparable([old, new])
    assert kept == [new]
    assert set_aside == [(old, "different weights under the same name")]


@pytest.mark.parametrize(
    "changes",
    [
        {"output": "mean_patch"},
        {"normalisation": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}},
        {"geometry": {**facts("a").geometry, "input_px": 384}},
    ],
    ids=str,
)
def test_two_entries_are_never_shown_under_one_name(changes: dict[str, Any]) -> None:
    old = record("a", 0.9, dataset=dataset("textiles"), day=1)
    new = record("a", 0.8, day=2, backbone=facts("a", **changes))
    kept, set_aside = comparable([old, new])
    assert kept == [new]
    assert set_aside == [(old, "different preprocessing or output under the same name")]


def test_runs_of_another_precision_are_of_the_same_backbone() -> None:
    fast = {**facts("a").geometry, "preprocessing": "fast"}
    of_run = facts("a", precision="bfloat16", geometry=fast)
    records = [record("a", dataset=dataset("textiles"), day=1), record("a", backbone=of_run, day=2)]
    assert len(comparable(records)[0]) == 2


def test_a_failure_before_the_dataset_was_read_hides_no_value() -> None:
    good, failure = record("a", day=1), failed("b", dataset=None, day=2)
    kept, set_aside = comparable([good, failed("a", dataset=None, day=2), failure])
    assert kept == [good, failure]
    assert len(set_aside) == 1


def test_a_newer_record_of_a_limited_dataset_does_not_replace_the_full_one() -> None:
    full, limited = record("a", day=1), record("a", day=2, dataset=dataset(limit=100))
    assert comparable([full, limited])[0] == [full]
    assert comparable([limited])[0] == [limited]


# --- cells and means


def test_a_cell_is_the_mean_over_seeds() -> None:
    """(0.5 + 0.7 + 0.6) / 3 = 0.6, and so for the ends of the intervals, ± 0.02."""
    scores = tuple(score("top1", value, seed) for seed, value in enumerate((0.5, 0.7, 0.6)))
    (cell,) = board_cells([record("a", seeds=(0, 1, 2), scores=scores)])
    assert (cell.value, cell.low, cell.high) == pytest.approx((0.6, 0.58, 0.62))
    assert (cell.seeds, cell.n) == (3, 650)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ((score("top1", 0.5, 0), score("top1", None, 1, undefined="why")), "why"),
        ((score("ece", 0.5),), "no score named top1"),
    ],
)
def test_a_cell_that_lacks_a_seed_is_undefined(scores: tuple[Any, ...], reason: str) -> None:
    (cell,) = board_cells([record("a", scores=scores)])
    assert (cell.status, cell.value, cell.reason) == ("undefined", None, reason)


def test_wide_ranks_only_complete_rows() -> None:
    undefined = record("odd", scores=(score("top1", None, undefined="why"),))
    frame = wide([*sweep(), record("partial", 1.0), undefined]).set_index("backbone")
    assert frame.index.tolist() == ["best", "pixels", "good", "odd", "partial"]
    assert frame["rank"].tolist()[:2] == [1, 2]
    assert frame["rank"].isna().tolist() == [False, False, True, True, True]
    assert frame["mean"].tolist()[:2] == [pytest.approx(0.9), 0.5]
    assert frame["mean"].isna().tolist() == [False, False, True, True, True]
    assert frame.loc["good", "incomplete"] == "failed: knn/textiles"
    assert frame.loc["odd", "incomplete"] == (
        "missing: knn/elpv; missing: knn/textiles; undefined: linear/elpv; missing: linear/textiles"
    )
    assert frame.loc["good", "linear/elpv"] == 0.8
    assert pd.isna(frame.loc["good", "knn/textiles"])
    assert frame["baseline"].tolist() == [False, True, False, False, False]


def test_wide_has_no_mean_over_different_scales() -> None:
    log_loss = task("odd", metrics=("log_loss",))
    assert wide([record("a", 0.9), record("a", 2.1, task=log_loss)])["mean"].isna().all()


def test_wide_agrees_with_tidy() -> None:
    records = sweep()
    primary = tidy(records).query("primary and status == 'ok' and backbone == 'best'")
    row = wide(records).set_index("backbone").loc["best"]
    for (task_name, dataset_name), scores in primary.groupby(["task", "dataset"]):
        assert row[f"{task_name}/{dataset_name}"] == fmean(scores["value"])


def best_of(column: BoardColumn, records: list[Record]) -> str | None:
    return make_board(records).verdicts[column].best


def test_the_best_of_a_column_has_the_highest_value() -> None:
    records = [record("a", 0.80), record("b", 0.83), record("c", 0.1), failed("d")]
    assert best_of(BoardColumn("linear", "elpv"), records) == "b"


def test_the_best_of_a_column_has_the_lowest_value_if_lower_is_better() -> None:
    ece = task("calibration", metrics=("ece",))
    records = [record("a", 0.30, task=ece), record("b", 0.05, task=ece)]
    assert best_of(BoardColumn("calibration", "elpv"), records) == "b"
    assert "| b | 3.37 | **5.0 [3.0–7.0]** ? |\n| a |" in to_markdown(records)  # best first


def test_the_best_of_a_column_is_one_that_is_ranked() -> None:
    """A baseline is what the others must beat; it is not bold where it beats them."""
    records = [record("a", 0.80), record("pixels", 0.9, family="baseline")]
    assert best_of(BoardColumn("linear", "elpv"), records) == "a"
    assert "**80.0 [78.0–82.0]**" in to_markdown(records)
    assert "**90.0" not in to_markdown(records)


def test_a_column_without_values_has_no_best() -> None:
    assert best_of(BoardColumn("linear", "elpv"), [failed("a")]) is None


def test_cell_texts() -> None:
    cells = board_cells([record("a", 0.8539), failed("b"), record("c", scores=())])
    texts = [cell_text(cell) for cell in cells]
    assert [*texts, cell_text(None)] == ["85.4 [83.4–87.4]", "failed", "undefined", "–"]


def test_a_log_loss_is_shown_in_nats() -> None:
    log_loss = score("log_loss", 1.23456, low=None, high=None)
    nats = record("a", task=task(metrics=("log_loss",)), scores=(log_loss,))
    assert [cell_text(cell) for cell in board_cells([nats])] == ["1.235"]


# --- notes


def test_notes_list_failures_unreadable_images_and_limits() -> None:
    data = dataset(bad_images={"train": ["a"]}, limit=50)
    board = make_board([record("a", dataset=data), failed("b", dataset=data)])
    assert board_notes(board) == [
        "b on linear/elpv: failed. out of memory",
        "elpv: 1 unreadable image excluded.",
        "elpv: at most 50 images per split (--limit).",
    ]


def test_notes_list_the_caveats_of_fits() -> None:
    """One line for each, with the cells that have it; that of most cells first."""
    absent = "1 of 4 classes have no train pixel: 'sky'"
    records = [
        record("a", details=({"seed": 0, "caveats": ["did not converge", absent]},)),
        record("b", details=({"seed": 0, "caveats": [absent]}, {"seed": 1, "caveats": [absent]})),
        record("c", details=({"seed": 0, "caveats": []},)),
    ]
    assert board_notes(make_board(records)) == [
        f"a, b on linear × elpv: {absent}.",
        "a on linear/elpv: did not converge.",
    ]


def test_notes_say_how_many_more_caveats_there_are() -> None:
    caveats = [f"the best C, {c}, is the smallest of its grid" for c in range(11)]
    notes = board_notes(make_board([record("a", details=({"seed": 0, "caveats": caveats},))]))
    assert notes[:8] == [f"a on linear/elpv: {caveat}." for caveat in caveats[:8]]
    assert notes[8:] == ["3 more caveats of fits; `bob-bench show` has those of a record."]


def test_notes_say_how_much_of_test_train_holds() -> None:
    split = {"classes": 2, "duplicates": 0}
    report = DataReport(
        images=10,
        classes=2,
        split_source="names of folders",
        splits={
            name: SplitReport(images=images, **split)
            for name, images in (("train", 4), ("val", 2), ("test", 3), ("night", 1))
        },
        shared=(
            SharedImages(split="val", other="train", images=2),
            SharedImages(split="test", other="train", images=2),
            SharedImages(split="test", other="val", images=1),
            SharedImages(split="night", other="train", images=1),
        ),
    )
    records = [record(name, dataset=dataset(report=report)) for name in ("a", "b")]
    assert board_notes(make_board(records)) == [
        "elpv: 1 of 1 images of night is byte-identical to images of train.",
        "elpv: 2 of 3 images of test are byte-identical to images of train.",
    ]


def test_notes_list_a_reason_once() -> None:
    reason = "weights are not on this machine. " * 8
    failures = [
        failed("a", reason, task=task(task_name), dataset=dataset(dataset_name))
        for task_name in ("knn", "linear")
        for dataset_name in ("elpv", "textiles")
    ]
    assert board_notes(make_board(failures)) == [
        f"a on knn, linear × elpv, textiles: failed. {reason}"
    ]
    assert board_notes(make_board(failures[:3])) == [
        f"a on knn, linear × elpv, textiles (3 of these 4 cells): failed. {reason}"
    ]
    two_reasons = [
        *failures[:2],
        failed("b", reason, task=task("knn")),
        failed("b", "out of memory", task=task("knn"), dataset=dataset("textiles")),
    ]
    assert board_notes(make_board(two_reasons)) == [
        f"a, b on knn × elpv, textiles (3 of these 4 cells): failed. {reason}",
        "b on knn/textiles: failed. out of memory",
    ]


def test_notes_name_the_first_twelve_of_many_backbones() -> None:
    failures = [failed(f"n{index:02}", "disk full") for index in range(30)]
    first = ", ".join(f"n{index:02}" for index in range(12))
    assert board_notes(make_board(failures)) == [
        f"{first} and 18 more on linear × elpv: failed. disk full"
    ]
    # a thirteenth name is no longer than "and 1 more"
    assert "more" not in board_notes(make_board(failures[:13]))[0]


# --- renderers


def test_markdown_tables() -> None:
    lines = to_markdown(sweep()).splitlines()
    assert "| backbone | params (M) | elpv | textiles | mean |" in lines
    # in the second column no other backbone has a value
    assert "| best | 3.37 | **90.0 [88.0–92.0]** ? | **90.0 [88.0–92.0]** | 90.0 |" in lines
    assert "| pixels *(baseline)* | 3.37 | 50.0 [48.0–52.0] | 50.0 [48.0–52.0] | 50.0 |" in lines
    assert "| good | 3.37 | 80.0 [78.0–82.0] | failed | – |" in lines
    assert "- good on knn/textiles: failed. out of memory" in lines


def test_markdown_shows_a_billion_parameters_without_exponent() -> None:
    giant = record("giant", backbone=facts("giant", params=1_843_000_000))
    assert "| giant | 1840 |" in to_markdown([giant])


def test_markdown_escapes_hostile_names() -> None:
    text = to_markdown([record(HOSTILE), failed("b", HOSTILE)])
    (row,) = [line for line in text.splitlines() if line.startswith("| \\<script")]
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert row.replace("\\|", "").count("|") == 4  # three fields


def printed(records: list[Record]) -> str:
    console = Console(file=StringIO(), width=200, color_system=None)
    console.print(to_terminal(records))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_terminal_lists_the_best_first_and_marks_baselines() -> None:
    lines = printed(sweep()).splitlines()
    names = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert names == ["best", "pixels (baseline)", "good", "best", "good", "pixels (baseline)"]
    assert any("failed" in line and "good" in line for line in lines)
    assert printed([]).strip() == "No records yet."


def test_terminal_reads_no_markup_in_names() -> None:
    assert "[red]name[/nonsense]" in printed([record("[red]name[/nonsense]")])


def test_the_page_contains_no_markup_from_records() -> None:
    page = to_html([record(HOSTILE), failed("b", HOSTILE)])
    assert "<script>alert" not in page
    assert "\\u003cscript\\u003ealert" in page


def test_script_json_escapes_what_could_end_the_script() -> None:
    text = script_json({"a": "</script><!-- & \u2028 é"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028 é"}


def test_a_page_of_many_cells_is_small() -> None:
    """Scripts and styles are a constant, which a view adds to; 600 cells take 130 bytes each."""
    records = [
        record(f"b{b}", 0.5 + b / 200, dataset=dataset(f"d{d}"), task=task(f"t{t}"))
        for b in range(20)
        for d in range(10)
        for t in range(3)
    ]
    of_one_cell = len(to_html(records[:1]))
    assert of_one_cell < 260_000
    assert len(to_html(records)) - of_one_cell < 80_000


def test_an_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"leaderboard\.html: cannot be written"):
        write_leaderboard([], tmp_path / "file")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_leaderboard([record("a")], tmp_path)
    before = (tmp_path / "leaderboard.csv").read_bytes()

    def no_space(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bob.io.files.os.fsync", no_space)
    with pytest.raises(StoreError, match="the disk is full"):
        write_leaderboard([record("b")], tmp_path)
    assert (tmp_path / "leaderboard.csv").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


def test_the_leaderboard_does_not_import_torch() -> None:
    code = (
        "import sys, bob.leaderboards, bob.engine.scores; "
        "sys.exit(sum(name in sys.modules for name in ('torch', 'timm', 'sklearn', 'faiss')))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0
