"""Pages of images: `show RECORD --images` and `compare A B --images`."""

import io
import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bob.cli import main
from bob.features.store import FeatureStore
from bob.outcomes import ClassPredictions
from bob.pictures.classifier import CLASSES, confusion_table, recall_text
from bob.pictures.page import (
    THUMBNAIL_PX,
    PageSection,
    PageTable,
    Picture,
    Strip,
    TableCell,
    thumbnail,
    to_page,
)
from bob.pictures.view import View
from bob.records.record import Record
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import record, task

Command = Callable[..., tuple[int, str, str]]

# ---- one page


def test_a_thumbnail_is_a_small_jpeg() -> None:
    wide = Image.new("RGB", (4 * THUMBNAIL_PX, 2 * THUMBNAIL_PX), (0, 200, 0))
    head, _, data = thumbnail(wide).partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(b64decode(data))) as small:
        assert small.size == (THUMBNAIL_PX, THUMBNAIL_PX // 2)
    assert wide.size == (4 * THUMBNAIL_PX, 2 * THUMBNAIL_PX)  # the image itself is unchanged


def test_names_of_any_text_stay_text() -> None:
    hostile = '<script>alert("x")</script>\x1b\u202e'
    picture = Picture("data:,", hostile, (hostile,))
    table = PageTable(hostile, [hostile], [(hostile, [TableCell(hostile, 1.0)])])
    page = to_page(
        hostile, [hostile], [PageSection(hostile, hostile, [Strip(hostile, [picture])], table)]
    )
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page
    assert page.count("&lt;script&gt;") >= 10
    assert "default-src 'none'" in page


def view(classes: int) -> View:
    return View(record("a"), None, FeatureStore(Path("none")), lambda note: None)


def test_confusion_has_totals_and_recalls() -> None:
    """Class 0: 2 of 3 right; class 1: 1 of 1. Limits: Wilson's, from Wikipedia's formula."""
    table = confusion_table(np.array([[2, 1], [0, 1]]), view(2))
    assert table.head == ["true class", "0", "1", "total", "recall"]
    assert [[name, *(cell.text for cell in cells)] for name, cells in table.rows] == [
        ["0", "2", "1", "3", "66.7 % [20.8–93.9]"],
        ["1", "", "1", "1", "100.0 % [20.7–100.0]"],
        ["total", "2", "2", "4", "75.0 % [30.1–95.4]"],
    ]
    assert recall_text(0, 0) == "–"  # a class without test images has no recall


def test_classes_beyond_the_most_confused_are_summed_up() -> None:
    """Class 0 is predicted as 1 once; of the other classes, all with 2 right, some are hidden."""
    counts = 2 * np.eye(CLASSES + 3, dtype=np.int64)
    counts[0, 1] = 1
    table = confusion_table(counts, view(CLASSES + 3))
    assert table.head[-3:] == ["3 others", "total", "recall"]
    assert len(table.rows) == CLASSES + 2
    others, total = (cells for _, cells in table.rows[-2:])
    assert [cell.text for cell in others[-3:]][:2] == ["6", "6"]
    assert others[-1].text.startswith("100.0 %")
    assert total[-2].text == str(counts.sum())


# ---- the commands


def make_noise(folder: Path, per_class: int = 20) -> Path:
    rng = np.random.default_rng(0)
    for i in range(2 * per_class):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(
            folder / "ab"[i % 2] / f"{i}.png"
        )
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three tasks on noise in two classes, which no backbone can distinguish."""
    root = tmp_path_factory.mktemp("shown")
    make_noise(root / "photos")
    words = ["--data", str(root / "photos"), "--tasks", "linear,knn,retrieval"]
    folders = ["--results", str(root / "results"), "--cache-dir", str(root / "cache")]
    assert main(["run", *words, "--backbones", "raw_pixels,channel_statistics", *folders]) == 0
    return root


@pytest.fixture
def call(ran: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        folders = ["--results", str(ran / "results"), "--cache-dir", str(ran / "cache")]
        code = main([*words, *folders])
        out, err = capfd.readouterr()
        return code, out, " ".join(err.split())

    return run


def record_of(root: Path, task: str, backbone: str = "raw_pixels") -> Record:
    return next(
        record
        for record in RecordStore(root / "results").read_all()[0]
        if (record.task.name, record.backbone_name) == (task, backbone)
    )


def first_outcome(root: Path, one: Record) -> ClassPredictions:
    arrays = RecordStore(root / "results").headline_arrays(one)
    named = {name.partition(".")[2]: values for name, values in arrays.items()}
    return ClassPredictions.from_arrays(named)


def written(out: str) -> str:
    """Return the text of the page that a command says it wrote."""
    (path,) = re.findall(r"written: (\S+\.html)", out)
    return unescape(Path(path).read_text(encoding="utf-8"))


def headings(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def section(page: str, title: str) -> str:
    return page.partition(f">{title}</h2>")[2].partition("</section>")[0]


@pytest.mark.parametrize("task", ["linear", "knn"], ids=["with confidence", "without"])
def test_a_classifier_s_page_has_all_sections(ran: Path, call: Command, task: str) -> None:
    one = record_of(ran, task)
    code, out, err = call("show", one.key, "--images", "--data", str(ran / "photos"))
    assert (code, err) == (0, "")
    page = written(out)
    sections = ["Confusion", "Mistakes", "Nearest train images of mistakes", "Outliers"]
    assert headings(page) == sections
    outcome = first_outcome(ran, one)
    wrong = int((outcome.rank > 0).sum())
    mistakes = section(page, "Mistakes")
    assert mistakes.count("<figure") == wrong > 0
    assert bool(re.search(r"predicted [ab] \(\d+ %\)", mistakes)) == (task == "linear")
    assert mistakes.count('class="wrong"') == wrong
    names = re.findall(r'class="name">(.*?)<', mistakes)
    assert set(names) <= {
        path.relative_to(ran / "photos").as_posix() for path in (ran / "photos").rglob("*.png")
    }
    assert section(page, "Outliers").count("<figure") == len(outcome)
    assert 'src="http' not in page and "url(" not in page


def test_retrieval_has_a_page_of_misses_without_excluded_images(ran: Path, call: Command) -> None:
    one = record_of(ran, "retrieval")
    code, out, err = call("show", one.key, "--images", "--data", str(ran / "photos"))
    assert (code, err) == (0, "")
    strips = section(written(out), "Misses").split('<ul class="strip">')[1:]
    assert strips
    for strip in strips:
        query, *ranked = re.findall(r'class="name">(.*?)<', strip)
        assert len(ranked) == 6 and query not in ranked
        frames = re.findall(r'<figure class="(\w*)">', strip)
        # a positive has the class, here the folder, of the query
        assert frames[1:] == ["right" if name[0] == query[0] else "wrong" for name in ranked]


def test_two_backbones_have_a_page_of_their_differences(ran: Path, call: Command) -> None:
    words = ("raw_pixels", "channel_statistics", "--tasks", "linear", "--images")
    code, out, err = call("compare", *words, "--data", str(ran / "photos"))
    assert code == 0
    page = written(out)
    a, b = (first_outcome(ran, record_of(ran, "linear", name)).rank == 0 for name in words[:2])
    for title, mask in (
        ("Only A is right", a & ~b),
        ("Only B is right", ~a & b),
        ("Both are wrong", ~a & ~b),
    ):
        assert section(page, title).count("<figure") == mask.sum()
        assert (f"no section '{title}'" in err) == (not mask.any())
    (total,) = re.findall(r'<th scope="row">total</th>\s*(.*?)</tr>', page, re.DOTALL)
    counts = [len(a), *(int(mask.sum()) for mask in (a & b, a & ~b, ~a & b, ~a & ~b))]
    assert [int(text) for text in re.findall(r">(\d+)</td>", total)] == counts


def test_two_rankings_have_a_page_of_the_queries_that_one_finds(ran: Path, call: Command) -> None:
    words = ("raw_pixels", "channel_statistics", "--tasks", "retrieval", "--images")
    code, out, _ = call("compare", *words, "--data", str(ran / "photos"))
    assert code == 0
    page = written(out)
    arrays = [
        RecordStore(ran / "results").headline_arrays(record_of(ran, "retrieval", name))
        for name in words[:2]
    ]
    a, b = (of_one["0.reciprocal_rank"] == 1 for of_one in arrays)
    assert (a & ~b).any() and (~a & b).any()
    for title, mask in (("Only A is right", a & ~b), ("Only B is right", ~a & b)):
        assert section(page, title).count("<figure") == mask.sum()
    assert "A: AP " in page and "first hit at place 1" in page


def test_images_and_json_exclude_each_other(call: Command) -> None:
    words = ("raw_pixels", "channel_statistics", "--images", "--json")
    code, _, err = call("compare", *words)
    assert code == 2 and "--json prints the comparison, and --images writes pages" in err


def test_a_note_says_why_images_are_unavailable(ran: Path, call: Command, tmp_path: Path) -> None:
    key = record_of(ran, "linear").key
    code, out, err = call("show", key, "--images")
    assert code == 0 and headings(written(out)) == ["Confusion"]
    assert (
        "no images: dataset 'photos' is not in the registry; "
        "give its folder or table with --data PATH." in err
    )
    others = make_noise(tmp_path / "photos", per_class=12)
    assert (
        "no images: the images of dataset 'photos' that are here are not those of the record."
        in call("show", key, "--images", "--data", str(others))[2]
    )
    code, out, err = call("show", record_of(ran, "retrieval").key, "--images")
    assert code == 0 and "no page is written: there is nothing to show." in err


def test_a_note_says_that_neighbours_need_stored_features(ran: Path, call: Command) -> None:
    (ran / "cache" / "features").rename(ran / "cache" / "away")
    key = record_of(ran, "linear").key
    try:
        code, out, err = call("show", key, "--images", "--data", str(ran / "photos"))
    finally:
        (ran / "cache" / "away").rename(ran / "cache" / "features")
    assert code == 0 and headings(written(out)) == ["Confusion", "Mistakes"]
    assert "no nearest train images and no outliers: the features of this record are no" in err


def test_features_with_another_background_are_not_those_of_the_record(ran: Path) -> None:
    """Keys differ by the background of transparent images, which these images do not have."""
    from bob.datasets.open import open_dataset, spec_from_data_flag

    dataset = open_dataset(spec_from_data_flag(str(ran / "photos")), ran / "cache")
    store = FeatureStore(ran / "cache" / "features")
    known = View(record_of(ran, "linear"), dataset, store, lambda note: None)
    assert known.features(dataset.splits["test"]) is not None
    transparent = replace(dataset.splits["test"], alpha="black")
    transparent.__dict__["alpha_used"] = "black"
    assert known.features(transparent) is None


def test_a_record_is_printed_as_json(ran: Path, call: Command) -> None:
    key = record_of(ran, "linear").key
    assert json.loads(call("show", key[:9], "--json")[1])["key"] == key


def test_a_key_must_name_one_record(call: Command) -> None:
    code, _, err = call("show", "nothing")
    assert (
        code == 2
        and "0 records have a key that begins with 'nothing'; see `bob-bench list records`." in err
    )


def test_a_record_without_per_example_results_has_no_page(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    RecordStore(tmp_path).write(record("a"), {})
    assert main(["show", "a-linear", "--images", "--results", str(tmp_path)]) == 2
    assert (
        "(linear on elpv, ok) has no per-example results of a classifier, of retrieval or of a"
        in " ".join(capfd.readouterr().err.split())
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "another version made record {}-segment-"),
        ({"windows": "center"}, "pages show whole images, and its task scores centred squares"),
    ],
)
def test_records_of_pixels_without_predictions_say_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], settings: dict[str, Any], reason: str
) -> None:
    counts = {f"0.{name}": np.ones((2, 3), np.int64) for name in ("right", "predicted", "true")}
    counts["0.boundary_f"] = np.ones(2)
    for name in ("a", "b"):
        dense = record(name, task=task("segment", metrics=("mean_iou",), **settings))
        RecordStore(tmp_path).write(dense, counts)
    assert main(["show", "a-segment", "--images", "--results", str(tmp_path)]) == 2
    shown = " ".join(capfd.readouterr().err.split())
    assert f"no predictions of a sample of images, as {reason.format('a')}" in shown
    assert main(["compare", "a", "b", "--images", "--results", str(tmp_path)]) == 0
    compared = " ".join(capfd.readouterr().err.split())
    assert f"no images, as {reason.format('a')}" in compared
