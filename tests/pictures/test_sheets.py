"""Examples that are picked, the layout of sheets, and `bob-bench show RECORD --images`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import NearestNeighbors

from bob.cli import main
from bob.outcomes import ClassPredictions
from bob.outcomes.retrieval import RetrievalResults
from bob.pictures.pick import confident_mistakes, confusion, misses, most_confused, nearest
from bob.pictures.sheet import FRAME, TILE_PX, Tile, confusion_sheet, sheet, shortened
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import record

# ---- examples


def classified(confidence: list[float] | None = None) -> ClassPredictions:
    """Five examples of three classes: the second, third and fifth are wrong."""
    y, predicted, rank = (
        np.array([0, 1, 2, 0, 1]),
        np.array([0, 2, 1, 0, 0]),
        np.array([0, 2, 1, 0, 1]),
    )
    return ClassPredictions(
        y, predicted, rank, 3, None, None if confidence is None else np.array(confidence)
    )


def test_the_most_confident_mistakes_come_first() -> None:
    assert confident_mistakes(classified([0.99, 0.6, 0.9, 0.5, 0.7]), 9).tolist() == [2, 4, 1]
    assert confident_mistakes(classified([0.99, 0.6, 0.9, 0.5, 0.7]), 1).tolist() == [2]
    # without probabilities, by the rank of the true class
    assert confident_mistakes(classified(), 9).tolist() == [1, 2, 4]


def test_confusion_equals_scikit_learn_s() -> None:
    outcome = classified()
    counts = confusion(outcome)
    assert np.array_equal(counts, confusion_matrix(outcome.y, outcome.predicted))
    # class 0 is in one mistake, class 1 in three, class 2 in two
    assert most_confused(counts, 2).tolist() == [1, 2]


def test_misses_have_the_lowest_ap_then_the_latest_first_hit() -> None:
    ap = np.array([0.5, 0.1, 1.0, 0.1])
    first = np.array([1, 5, 0, 9])
    outcome = RetrievalResults(np.arange(4), np.ones(4, np.int64), 1 / (first + 1), ap, ap, ap, ap)
    assert misses(outcome, 3).tolist() == [3, 1, 0]
    assert misses(outcome, 9).tolist() == [3, 1, 0]  # a perfect query is no miss


def test_nearest_rows_equal_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    queries, gallery = (rng.normal(size=(n, 5)).astype(np.float32) for n in (7, 30))
    index, similarity = nearest(queries, gallery, 4)
    distance, expected = (
        NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute")
        .fit(gallery.astype(np.float64))
        .kneighbors(queries.astype(np.float64))
    )
    assert np.array_equal(index, expected) and similarity == pytest.approx(1 - distance)


def test_the_excluded_row_is_not_among_the_nearest() -> None:
    gallery = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    index, similarity = nearest(gallery, gallery, 40, np.arange(30))
    assert index.shape == (30, 29) and not (index == np.arange(30)[:, None]).any()
    everything, cosines = nearest(gallery, gallery, 30)
    assert np.array_equal(index, everything[:, 1:])
    assert np.array_equal(similarity, cosines[:, 1:])
    nothing_excluded, _ = nearest(gallery, gallery, 4, np.full(30, -1))
    assert np.array_equal(nothing_excluded, everything[:, :4])


def test_equal_cosines_go_to_the_lower_row() -> None:
    """Rows 0, 2 and 3 have the same direction."""
    gallery = np.array([[1, 2], [2, 1], [2, 4], [3, 6]], np.float32)
    assert nearest(gallery[2:3], gallery, 3)[0].tolist() == [[0, 2, 3]]
    assert nearest(gallery[2:3], gallery, 2, np.array([0]))[0].tolist() == [[2, 3]]


# ---- layout


def test_a_sheet_shows_its_images_and_frames() -> None:
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
    assert green.size == (400, 200)  # the image itself is unchanged


def test_class_names_of_any_text_fit_on_a_confusion_sheet() -> None:
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
    """Results of three tasks on noise in two classes, which no backbone can distinguish."""
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
        for record in RecordStore(root / "results").read_all()[0]
        if record.task.name == task
    )


@pytest.mark.parametrize("task", ["linear", "knn"])
def test_a_classifier_has_sheets_of_confusion_mistakes_and_neighbours(
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


def test_retrieval_has_a_sheet_of_misses(
    ran: Path, show: Callable[..., tuple[int, str, str]]
) -> None:
    key = key_of(ran, "retrieval")
    code, out, err = show(key, "--images", "--data", str(ran / "photos"))
    assert (code, err) == (0, "")
    assert out == f"written: {ran / 'results' / 'sheets' / key[:16] / 'misses'}.png\n"
    with Image.open(ran / "results" / "sheets" / key[:16] / "misses.png") as image:
        assert image.size[0] > 6 * TILE_PX  # a query and what ranks first
    code, out, err = show(key, "--images")
    assert (code, out) == (0, "") and "no images" in err


def test_a_note_says_why_images_are_unavailable(
    ran: Path, show: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    key = key_of(ran, "linear")
    code, out, err = show(key, "--images")
    assert code == 0 and out.count("written") == 1 and "confusion.png" in out
    assert (
        "no images: dataset 'photos' is not in the registry; "
        "give its folder or table with --data PATH." in err
    )
    others = make_noise(tmp_path / "photos", per_class=12)
    assert (
        "no images: the images of dataset 'photos' that are here are not those of the record."
        in show(key, "--images", "--data", str(others))[2]
    )


def test_a_note_says_that_neighbours_need_stored_features(
    ran: Path, show: Callable[..., tuple[int, str, str]]
) -> None:
    (ran / "cache" / "features").rename(ran / "cache" / "away")
    try:
        code, out, err = show(key_of(ran, "linear"), "--images", "--data", str(ran / "photos"))
    finally:
        (ran / "cache" / "away").rename(ran / "cache" / "features")
    assert code == 0 and "mistakes.png" in out and "neighbours.png" not in out
    assert "no sheet of neighbours: the features of this record are no longer stored" in err


def test_a_record_is_printed_as_json(ran: Path, show: Callable[..., tuple[int, str, str]]) -> None:
    key = key_of(ran, "linear")
    assert json.loads(show(key[:9], "--json")[1])["key"] == key


def test_a_key_must_name_one_record(ran: Path, show: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = show("nothing")
    assert (
        code == 2
        and "0 records have a key that begins with 'nothing'; see `bob-bench list records`." in err
    )


def test_a_record_without_per_example_results_has_no_sheets(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    RecordStore(tmp_path).write(record("a"), {})
    assert main(["show", "a-linear", "--images", "--results", str(tmp_path)]) == 2
    assert (
        "(linear on elpv, ok) has no per-example results of a classifier or of retrieval"
        in " ".join(capfd.readouterr().err.split())
    )
