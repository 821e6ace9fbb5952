"""Which examples are picked, how sheets are laid out, and `bob-bench show RECORD --images` end to end."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import NearestNeighbors

from bob.cli import main
from bob.outcomes import Classified
from bob.outcomes.retrieved import Retrieved
from bob.pictures.pick import confident_mistakes, confusion, misses, most_confused, nearest
from bob.pictures.sheet import FRAME, TILE_PX, Tile, confusion_sheet, sheet, shortened
from bob.records.store import RecordBook
from tests.builders.leaderboard_records import record

# ---- which examples


def classified(confidence: list[float] | None = None) -> Classified:
    """Five examples of three classes: the second, third and fifth are wrong."""
    y, predicted, rank = (
        np.array([0, 1, 2, 0, 1]),
        np.array([0, 2, 1, 0, 0]),
        np.array([0, 2, 1, 0, 1]),
    )
    return Classified(
        y, predicted, rank, 3, None, None if confidence is None else np.array(confidence)
    )


def test_mistakes_the_surest_first() -> None:
    assert confident_mistakes(classified([0.99, 0.6, 0.9, 0.5, 0.7]), 9).tolist() == [2, 4, 1]
    assert confident_mistakes(classified([0.99, 0.6, 0.9, 0.5, 0.7]), 1).tolist() == [2]
    assert confident_mistakes(classified(), 9).tolist() == [1, 2, 4]  # by where the true class came


def test_confusion_against_scikit_learn() -> None:
    outcome = classified()
    counts = confusion(outcome)
    assert np.array_equal(counts, confusion_matrix(outcome.y, outcome.predicted))
    assert most_confused(counts, 2).tolist() == [
        1,
        2,
    ]  # class 1 is in three mistakes, 0 in one, 2 in two


def test_misses_find_least_and_latest() -> None:
    ap = np.array([0.5, 0.1, 1.0, 0.1])
    first = np.array([1, 5, 0, 9])
    outcome = Retrieved(np.arange(4), np.ones(4, np.int64), first, ap, ap, ap, ap)
    assert misses(outcome, 3).tolist() == [3, 1, 0] and misses(outcome, 9).tolist() == [
        3,
        1,
        0,
    ]  # a perfect query is no miss


def test_nearest_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(7, 5)), rng.normal(size=(30, 5))
    index, similarity = nearest(queries, gallery, 4)
    distance, expected = (
        NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute")
        .fit(gallery)
        .kneighbors(queries)
    )
    assert np.array_equal(index, expected) and similarity == pytest.approx(1 - distance)
    index, _ = nearest(gallery, gallery, 40, np.arange(30))
    assert index.shape == (30, 29) and not (index == np.arange(30)[:, None]).any()


# ---- layout


def test_a_sheet_holds_its_pictures_and_frames() -> None:
    green = Image.new("RGB", (400, 200), (0, 200, 0))
    page = np.asarray(
        sheet(
            "title",
            [[Tile(green, ("a", "b"), True), Tile(green, ("c",), False)], [Tile(green, ())]],
        )
    )
    colours = {tuple(colour) for colour in page.reshape(-1, 3).tolist()}
    assert {FRAME[True], FRAME[False], FRAME[None], (0, 200, 0)} <= colours
    assert page.shape[0] > 2 * TILE_PX and page.shape[1] > 2 * TILE_PX
    assert green.size == (400, 200)  # the picture itself is left alone


def test_a_confusion_sheet_of_hostile_names() -> None:
    image = confusion_sheet("title", np.array([[3, 1], [0, 4]]), ["<b>שלום🦊\n" + "x" * 300, ""])
    assert image.size[0] < 600 and len(shortened("y" * 300)) == 26


# ---- the command


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
    """A folder of noise in two classes, which nothing can tell apart, on which two tasks ran."""
    root = tmp_path_factory.mktemp("shown")
    make_noise(root / "photos")
    words = [
        "--data",
        str(root / "photos"),
        "--backbones",
        "raw_pixels",
        "--tasks",
        "linear,knn,retrieval",
    ]
    assert (
        main(
            ["run", *words, "--results", str(root / "results"), "--cache-dir", str(root / "cache")]
        )
        == 0
    )
    return root


@pytest.fixture
def show(ran: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(
            ["show", *words, "--results", str(ran / "results"), "--cache-dir", str(ran / "cache")]
        )
        out, err = capfd.readouterr()
        return code, out, " ".join(err.split())

    return call


def key_of(root: Path, task: str) -> str:
    return next(
        record.key
        for record in RecordBook(root / "results").read_all()[0]
        if record.task.name == task
    )


@pytest.mark.parametrize("task", ["linear", "knn"])
def test_sheets_of_a_classifier(
    ran: Path, show: Callable[..., tuple[int, str, str]], task: str
) -> None:
    key = key_of(ran, task)
    code, out, err = show(key, "--images", "--data", str(ran / "photos"))
    folder = ran / "results" / "sheets" / key[:16]
    assert (code, err) == (0, "")
    assert out.split("written: ")[1:] == [
        f"{folder / name}.png\n" for name in ("confusion", "mistakes", "neighbours")
    ]
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            assert image.size[0] > 100
    again = (folder / "neighbours.png").read_bytes()
    show(key, "--images", "--data", str(ran / "photos"))
    assert (folder / "neighbours.png").read_bytes() == again


def test_the_sheet_of_retrieval_misses(
    ran: Path, show: Callable[..., tuple[int, str, str]]
) -> None:
    key = key_of(ran, "retrieval")
    code, out, err = show(key, "--images", "--data", str(ran / "photos"))
    assert (code, err) == (
        0,
        "",
    ) and out == f"written: {ran / 'results' / 'sheets' / key[:16] / 'misses'}.png\n"
    with Image.open(ran / "results" / "sheets" / key[:16] / "misses.png") as image:
        assert image.size[0] > 6 * TILE_PX  # a query and what comes first
    code, out, err = show(key, "--images")
    assert (code, out) == (0, "") and "no images" in err


def test_without_the_images_it_says_so(
    ran: Path, show: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    key = key_of(ran, "linear")
    code, out, err = show(key, "--images")
    assert code == 0 and out.count("written") == 1 and "confusion.png" in out
    assert (
        "no images: dataset 'photos' is not in the registry; give its folder or table with --data PATH."
        in err
    )
    others = make_noise(tmp_path / "photos", per_class=12)
    assert (
        "no images: the images of dataset 'photos' that are here are not those of the record."
        in show(key, "--images", "--data", str(others))[2]
    )


def test_without_the_features_there_are_no_neighbours(
    ran: Path, show: Callable[..., tuple[int, str, str]]
) -> None:
    (ran / "cache" / "features").rename(ran / "cache" / "away")
    try:
        code, out, err = show(key_of(ran, "linear"), "--images", "--data", str(ran / "photos"))
    finally:
        (ran / "cache" / "away").rename(ran / "cache" / "features")
    assert code == 0 and "mistakes.png" in out and "neighbours.png" not in out
    assert "no neighbours: the features of this record are not stored any more" in err


def test_a_record_as_json(ran: Path, show: Callable[..., tuple[int, str, str]]) -> None:
    key = key_of(ran, "linear")
    assert json.loads(show(key[:9])[1])["key"] == key


def test_which_record(ran: Path, show: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = show("nothing")
    assert (
        code == 2
        and "0 records have a key that begins with 'nothing'; see `bob-bench list records`." in err
    )


def test_a_record_without_per_example_results(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    RecordBook(tmp_path).write(record("a"), {})
    assert main(["show", "a-linear", "--images", "--results", str(tmp_path)]) == 2
    assert (
        "(linear on elpv, ok) has no per-example results of a classifier or of retrieval"
        in " ".join(capfd.readouterr().err.split())
    )
