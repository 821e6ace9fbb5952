"""The leaderboard's files: what may be compared, what is never averaged, order, round trips."""

import csv
import json
import random
import subprocess
import sys
from io import StringIO
from pathlib import Path
from statistics import fmean

import pandas as pd
import pytest
from rich.console import Console

from bob.errors import StoreError
from bob.leaderboard import (
    cells,
    comparable,
    tidy,
    to_html,
    to_markdown,
    to_terminal,
    wide,
    write_leaderboard,
)
from bob.leaderboard.page.html import script_json
from bob.leaderboard.render.text import cell_text, leads, notes
from bob.leaderboard.render.tidy_table import MACHINE, TIDY, tidy_parts
from bob.records.record import Record
from tests.builders.leaderboard_records import dataset, facts, failed, record, score, task

FILES = [
    "leaderboard.csv",
    "leaderboard_wide.csv",
    "ranking.csv",
    "ranking_by_task.csv",
    "leaderboard.md",
    "leaderboard.tex",
    "leaderboard.html",
]
HOSTILE = "<script>alert(1)</script> \"quoted\" & 'single' | pipe\n# 🦊 שלום " + "x" * 300


def sweep() -> list[Record]:
    """Two tasks, two datasets, three backbones: `best` everywhere 0.9, `good` fails once, a floor."""
    records = []
    for name, family, value in (
        ("best", "ssl", 0.9),
        ("good", "clip", 0.8),
        ("pixels", "baseline", 0.5),
    ):
        for held in (dataset("elpv"), dataset("textiles", "print-2")):
            for of in (task("linear"), task("knn", metrics=("top1",))):
                lost = name == "good" and held.name == "textiles" and of.name == "knn"
                records.append(
                    (failed if lost else record)(
                        name,
                        family=family,
                        dataset=held,
                        task=of,
                        **({} if lost else {"value": value}),
                    )
                )
    return records


# ---- tidy


def test_columns_are_these_in_this_order() -> None:
    assert ",".join(tidy(sweep()).columns) == (
        "backbone,family,floor,task,task_version,dataset,metric,seed,value,low,high,n,interval,undefined,status,reason,primary,external,pooling,weights_hash,"
        "input_px,crop_pct,interpolation,preprocessing,mean,std,precision,width,params,gflops,weights_mib,peak_mib,licence,chosen,train,val,test,bad_images,limit,split_kind,"
        "dataset_fingerprint,record_key,device,device_name,runtime,threads,batch_size,images_per_s,decode_images_per_s,probe_seconds,created"
    )
    assert list(TIDY)[-len(MACHINE) :] == list(MACHINE)


def test_one_row_per_score_in_the_tasks_order() -> None:
    scores = (
        score("ece", 0.1, 1),
        score("top1_k20", 0.7, 1),
        score("top1", 0.8, 1),
        score("top1", 0.6, 0),
        score("top1_k5", 0.7, 1),
    )
    chosen = ({"k": 5}, {"k": 20})
    frame = tidy([record("a", scores=scores, seeds=(0, 1), details=chosen)])
    assert list(zip(frame["metric"], frame["seed"], strict=True)) == [
        ("top1", 0),
        ("top1", 1),
        ("top1_k5", 1),
        ("top1_k20", 1),
        ("ece", 1),
    ]
    assert frame["primary"].tolist() == [True, True, False, False, False]
    assert [json.loads(text)["k"] for text in frame["chosen"]] == [5, 20, 20, 20, 20]


def test_what_a_row_says() -> None:
    held = dataset(bad_images={"train": ["a.png", "b.png"], "test": ["c.png"]}, limit=100)
    row = tidy([record("lite0", 1 / 3, dataset=held)]).iloc[0]
    assert row["value"] == 1 / 3
    assert (row["train"], row["val"], row["test"], row["bad_images"], row["limit"]) == (
        1574,
        394,
        650,
        3,
        100,
    )
    assert (row["input_px"], row["crop_pct"], row["interpolation"], row["pooling"]) == (
        "224",
        0.875,
        "bicubic",
        "default",
    )
    assert (row["mean"], row["weights_hash"], row["split_kind"]) == (
        "[0.5, 0.5, 0.5]",
        "hash-of-lite0",
        "documented",
    )
    assert (row["device"], row["images_per_s"], row["created"]) == (
        "cpu",
        130.9,
        "2026-01-01T10:00:00Z",
    )


def test_a_failed_record_is_one_row_without_value() -> None:
    frame = tidy([failed("broken", "out of memory", dataset=None)])
    row = frame.iloc[0]
    assert len(frame) == 1
    assert (row["status"], row["reason"], row["metric"], row["primary"]) == (
        "failed",
        "out of memory",
        "top1",
        True,
    )
    assert (
        frame[["value", "low", "high", "n", "weights_hash", "dataset_fingerprint"]]
        .isna()
        .all(axis=None)
    )


def test_an_undefined_score_says_why() -> None:
    row = tidy(
        [record("a", scores=(score("top1", None, undefined="there are no test examples"),))]
    ).iloc[0]
    assert pd.isna(row["value"])
    assert row["undefined"] == "there are no test examples"


def test_csv_round_trip(tmp_path: Path) -> None:
    values = [1 / 3, 0.1 + 0.2, 2 / 3, 1e-17, 1.0]
    write_leaderboard([record(f"b{index}", value) for index, value in enumerate(values)], tmp_path)
    text = (tmp_path / "leaderboard.csv").read_bytes().decode()
    assert "\r" not in text and text.endswith("\n")
    assert [float(row["value"]) for row in csv.DictReader(StringIO(text))] == values
    again, made = (
        pd.read_csv(StringIO(text), dtype=TIDY),
        tidy([record(f"b{index}", value) for index, value in enumerate(values)]),
    )
    pd.testing.assert_frame_equal(again.fillna(pd.NA), made.fillna(pd.NA))


def test_no_records(tmp_path: Path) -> None:
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
    assert {path.name for path in (tmp_path / "b").iterdir()} == set(FILES)  # nothing left aside
    for path in paths:
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()


def test_only_the_named_columns_depend_on_the_machine() -> None:
    cost = record("a").cost
    assert cost is not None
    measured = {
        "device": "cuda",
        "device_name": "a card",
        "runtime": "compile",
        "threads": 1,
        "batch_size": 256,
    }
    speeds = {"images_per_s": 9e3, "decode_images_per_s": 3e2, "probe_seconds": 0.1}
    other = record(
        "a", cost=cost.model_copy(update=measured | speeds), provenance={"created": "2027"}
    )
    left, right = tidy([record("a")]), tidy([other])
    differing = [
        name
        for name in TIDY
        if left[name].tolist() != right[name].tolist()
        and not (left[name].isna() & right[name].isna()).all()
    ]
    assert differing == list(MACHINE)


# ---- what may be compared


@pytest.mark.parametrize(
    "changes",
    [{"task": task(version=2)}, {"task": task(c=10)}, {"dataset": dataset(fingerprint="print-2")}],
    ids=["version", "settings", "fingerprint"],
)
def test_only_the_newest_comparable_group_stays(changes: dict) -> None:
    old = [record("a", day=1), record("b", day=2)]
    new = [record("a", day=3, **changes)]
    kept, aside = comparable(new + old)
    assert kept == new
    assert [(left.record, left.why) for left in aside] == [
        (old[0], "other settings or data"),
        (old[1], "other settings or data"),
    ]
    assert notes(kept, aside)[-1] == "2 records set aside: 2 (other settings or data)."


def test_other_columns_are_not_touched_by_a_new_group() -> None:
    elsewhere = record("a", dataset=dataset("textiles"), day=1)
    kept, _ = comparable(
        [record("a", day=1), elsewhere, record("b", dataset=dataset(fingerprint="print-2"), day=2)]
    )
    assert [(one.backbone_name, one.dataset_name) for one in kept] == [
        ("b", "elpv"),
        ("a", "textiles"),
    ]


def test_the_newest_record_of_a_backbone_stays() -> None:
    kept, aside = comparable([record("a", 0.7, day=2), record("a", 0.6, day=1), record("b", day=1)])
    assert [(one.backbone_name, one.provenance["created"][:10]) for one in kept] == [
        ("a", "2026-01-02"),
        ("b", "2026-01-01"),
    ]
    assert [left.why for left in aside] == ["an older record of the same cell"]


def test_one_name_never_joins_two_checkpoints() -> None:
    old = record("a", 0.9, dataset=dataset("textiles"), day=1)
    new = record("a", 0.8, day=2, backbone=facts("a", weights_hash="retrained"))
    kept, aside = comparable([old, new])
    assert kept == [new]
    assert [(left.record, left.why) for left in aside] == [
        (old, "other weights under the same name")
    ]


def test_a_failure_before_the_dataset_was_read_hides_no_value() -> None:
    good, lost = record("a", day=1), failed("b", dataset=None, day=2)
    kept, aside = comparable([good, failed("a", dataset=None, day=2), lost])
    assert kept == [good, lost]
    assert len(aside) == 1


# ---- cells, wide, never averaged in


def test_a_cell_is_the_mean_over_seeds() -> None:
    scores = tuple(score("top1", value, seed) for seed, value in enumerate((0.5, 0.7, 0.6)))
    (cell,) = cells([record("a", seeds=(0, 1, 2), scores=scores)])
    assert (cell.value, cell.low, cell.high, cell.seeds, cell.n) == (
        pytest.approx(0.6),
        pytest.approx(0.58),
        pytest.approx(0.62),
        3,
        650,
    )


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ((score("top1", 0.5, 0), score("top1", None, 1, undefined="why")), "why"),
        ((score("ece", 0.5),), "no score named top1"),
    ],
)
def test_a_cell_without_all_its_seeds_is_undefined(scores: tuple, reason: str) -> None:
    (cell,) = cells([record("a", scores=scores)])
    assert (cell.status, cell.value, cell.reason) == ("undefined", None, reason)


def test_wide_ranks_complete_rows_only() -> None:
    frame = wide(
        [
            *sweep(),
            record("partial", 1.0),
            record("odd", scores=(score("top1", None, undefined="why"),)),
        ]
    ).set_index("backbone")
    assert frame.index.tolist() == ["best", "pixels", "good", "odd", "partial"]
    assert frame["rank"].tolist()[:2] == [1, 2] and frame["rank"].isna().tolist() == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert (
        frame["mean"].tolist()[:2] == [pytest.approx(0.9), 0.5]
        and frame["mean"].isna().tolist()[2:] == [True] * 3
    )
    assert frame.loc["good", "incomplete"] == "failed: knn/textiles"
    assert (
        frame.loc["odd", "incomplete"]
        == "missing: knn/elpv; missing: knn/textiles; undefined: linear/elpv; missing: linear/textiles"
    )
    assert frame.loc["good", "linear/elpv"] == 0.8 and pd.isna(frame.loc["good", "knn/textiles"])
    assert frame["floor"].tolist() == [False, True, False, False, False]


def test_no_mean_over_different_scales() -> None:
    frame = wide([record("a", 0.9), record("a", 2.1, task=task("odd", metrics=("log_loss",)))])
    assert frame["mean"].isna().all()


@pytest.mark.parametrize(
    "reason",
    [
        "out of memory",
        'a "quote", a comma\nand a line',
        "a record separator \x1e\nbefore a line break",
    ],
)
def test_the_csv_is_that_of_the_frame(reason: str) -> None:
    """Byte for byte what pandas writes of the whole frame, whatever a field holds."""
    several = (
        score("top1", 0.5, seed=0),
        score("top1_k20", 1 / 3, seed=0, facets={"k": 20}),
        score("ece", None, undefined="no, never"),
    )
    held = [
        record("a", scores=several, seeds=(0,)),
        failed("b", reason, dataset=None),
        record("c", 1.0),
    ]
    assert tidy_parts(held).csv() == tidy(held).to_csv(index=False, lineterminator="\n")


def test_wide_agrees_with_tidy() -> None:
    records = sweep()
    long = tidy(records).query("primary and status == 'ok'")
    best = wide(records).set_index("backbone").loc["best"]
    for (of, held), group in long[long["backbone"] == "best"].groupby(["task", "dataset"]):
        assert best[f"{of}/{held}"] == fmean(group["value"])


# ---- findings


def test_the_lead_and_whether_it_is_settled() -> None:
    (lead,) = leads([record("a", 0.80), record("b", 0.83), record("c", 0.1)])
    assert (
        lead.best.record.backbone_name,
        lead.second.record.backbone_name if lead.second else None,
        lead.overlap,
    ) == ("b", "a", True)
    (lead,) = leads([record("a", 0.80), record("b", 0.85)])
    assert lead.overlap is False


def test_lower_is_better_where_it_is() -> None:
    of = task("calibration", metrics=("ece",))
    (lead,) = leads([record("a", 0.30, task=of), record("b", 0.05, task=of)])
    assert lead.best.record.backbone_name == "b"


def test_a_single_backbone_leads_nobody() -> None:
    (lead,) = leads([record("a", 0.8), failed("b")])
    assert lead.second is None


def test_cell_texts() -> None:
    texts = [
        cell_text(cell)
        for cell in cells([record("a", 0.8539), failed("b"), record("c", scores=())])
    ]
    assert [*texts, cell_text(None)] == ["85.4 [83.4–87.4]", "failed", "undefined", "–"]
    (nats,) = cells(
        [
            record(
                "a",
                task=task(metrics=("log_loss",)),
                scores=(score("log_loss", 1.23456, low=None, high=None),),
            )
        ]
    )
    assert cell_text(nats) == "1.235"


def test_a_quick_look_at_a_part_does_not_push_the_whole_aside() -> None:
    whole, part = record("a", day=1), record("a", day=2, dataset=dataset(limit=100))
    assert [kept.key for kept in comparable([whole, part])[0]] == [whole.key]
    assert [kept.key for kept in comparable([part])[0]] == [part.key]


def test_notes_tell_failures_bad_images_and_limits() -> None:
    held = dataset(bad_images={"train": ["a"]}, limit=50)
    kept, aside = comparable([record("a", dataset=held), failed("b", dataset=held)])
    assert notes(kept, aside) == [
        "b on linear/elpv: failed. out of memory",
        "elpv: 1 unreadable image left out.",
        "elpv: at most 50 images per split (--limit).",
    ]


def test_a_reason_is_told_once() -> None:
    reason = "weights are not on this machine. " * 8
    lost = [
        failed("a", reason, task=task(of), dataset=dataset(held))
        for of in ("knn", "linear")
        for held in ("elpv", "textiles")
    ]
    assert notes(lost, []) == [f"a on knn, linear × elpv, textiles: failed. {reason}"]
    assert notes(lost[:3], []) == [
        f"a on knn, linear × elpv, textiles (3 of these 4 cells): failed. {reason}"
    ]
    both = [
        *lost[:2],
        failed("b", reason, task=task("knn")),
        failed("b", "out of memory", task=task("knn"), dataset=dataset("textiles")),
    ]
    assert notes(both, []) == [
        f"a, b on knn × elpv, textiles (3 of these 4 cells): failed. {reason}",
        "b on knn/textiles: failed. out of memory",
    ]


def test_a_reason_that_struck_many_names_the_first() -> None:
    lost = [failed(f"n{index:02}", "disk full") for index in range(30)]
    assert notes(lost, []) == [
        f"{', '.join(f'n{index:02}' for index in range(12))} and 18 more on linear × elpv: failed. disk full"
    ]
    assert "more" not in notes(lost[:13], [])[0]  # a single name is no longer than "and 1 more"


# ---- renderers


def test_markdown() -> None:
    lines = to_markdown(sweep()).splitlines()
    assert "| backbone | params (M) | elpv | textiles | mean |" in lines
    assert "| best | 3.37 | **90.0 [88.0–92.0]** | **90.0 [88.0–92.0]** | 90.0 |" in lines
    assert "| pixels *(floor)* | 3.37 | 50.0 [48.0–52.0] | 50.0 [48.0–52.0] | 50.0 |" in lines
    assert "| good | 3.37 | 80.0 [78.0–82.0] | failed | – |" in lines
    assert "- good on knn/textiles: failed. out of memory" in lines


def test_markdown_survives_hostile_names() -> None:
    text = to_markdown([record(HOSTILE), failed("b", HOSTILE)])
    (row,) = [line for line in text.splitlines() if line.startswith("| \\<script")]
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert row.replace("\\|", "").count("|") == 4  # three fields


def printed(records: list[Record]) -> str:
    console = Console(file=StringIO(), width=200, color_system=None)
    console.print(to_terminal(records))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_terminal_is_best_first_and_marks_floors() -> None:
    lines = printed(sweep()).splitlines()
    names = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert names == ["best", "pixels (floor)", "good", "best", "good", "pixels (floor)"]
    assert any("failed" in line and "good" in line for line in lines)
    assert printed([]).strip() == "No records yet."


def test_terminal_reads_no_markup_in_names() -> None:
    assert "[red]name[/nonsense]" in printed([record("[red]name[/nonsense]")])


def test_the_page_holds_no_markup_from_records() -> None:
    page = to_html([record(HOSTILE), failed("b", HOSTILE)])
    assert "<script>alert" not in page and "\\u003cscript\\u003ealert" in page


def test_script_json() -> None:
    text = script_json({"a": "</script><!-- & \u2028 é"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028 é"}


def test_a_page_of_many_cells_stays_small() -> None:
    records = [
        record(f"b{b}", 0.5 + b / 200, dataset=dataset(f"d{d}"), task=task(f"t{t}"))
        for b in range(20)
        for d in range(10)
        for t in range(3)
    ]
    assert len(to_html(records)) < 300_000


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"leaderboard\.csv: cannot be written"):
        write_leaderboard([], tmp_path / "file")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_leaderboard([record("a")], tmp_path)
    before = (tmp_path / "leaderboard.csv").read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bob.io.files.os.fsync", full)
    with pytest.raises(StoreError, match="the disk is full"):
        write_leaderboard([record("b")], tmp_path)
    assert (tmp_path / "leaderboard.csv").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


def test_no_torch() -> None:
    code = "import sys, bob.leaderboard, bob.engine.scores; sys.exit(sum(name in sys.modules for name in ('torch', 'timm', 'sklearn', 'faiss')))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]
        ).returncode
        == 0
    )
