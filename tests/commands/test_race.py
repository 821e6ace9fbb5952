"""`bob-bench race`: a race on given predictions."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bob.cli import main
from bob.errors import OK, USAGE


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three models that have 9, 9 and 1 of 10 examples right, in blocks of 10 equal examples."""
    y = np.repeat(np.arange(10), 30)
    predicted = np.stack([y, y, y], axis=1)
    predicted[y == 0, 0] = predicted[y == 1, 1] = 5
    predicted[y > 0, 2] = 0
    np.save(tmp_path / "predicted.npy", predicted)
    np.save(tmp_path / "y.npy", y)
    return ["--matrix", str(tmp_path / "predicted.npy"), "--labels", str(tmp_path / "y.npy")]


def test_the_loser_is_dropped_early(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["race", *files, "--json"]) == OK
    race = json.loads(capsys.readouterr().out)
    (dropped,) = race["dropped"]
    assert {each["model"] for each in race["survivors"]} == {"model 0", "model 1"}
    assert [each["accuracy"] for each in race["survivors"]] == [0.9, 0.9]
    assert dropped["column"] == 2 and dropped["examples"] < 100
    assert race["evaluations"] == 600 + dropped["examples"]
    assert race["evaluations_saved"] == pytest.approx(1 - race["evaluations"] / 900)


def test_the_table_names_models_and_says_what_is_certified(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").write_text("good\nfine\npoor\n")
    flags = [
        "--names",
        str(tmp_path / "names.txt"),
        "--target",
        "test-set",
        "--indifference",
        "0.2",
    ]
    assert main(["race", *files, *flags]) == OK
    text = capsys.readouterr().out
    assert "poor" in text and "dropped at" in text and "2 of 3 survive" in text
    assert "worse by more than 20 percentage points than some other model on these examples" in text


def test_a_race_may_certify_the_best_alone(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["race", *files, "--certify", "best"]) == OK
    assert "a model that no other beats survives on the population" in capsys.readouterr().out
    assert main(["race", *files, "--certify", "best", "--indifference", "0.2"]) == OK
    assert "no other beats by more than 20 percentage points survives" in capsys.readouterr().out


def test_a_race_may_let_go_of_ties(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["race", *files, "--certify", "tie", "--indifference", "-0.1", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["indifference"] == -0.1
    assert main(["race", *files, "--certify", "tie", "--seed", "1"]) == OK
    out = capsys.readouterr().out
    assert "the best model is less than " in out and " percentage points better than one of" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--indifference", "0.1"), "takes no --indifference above 0; got 0.1"),
        (("--target", "test-set"), "leave out --target test-set"),
    ],
)
def test_claims_about_ties_that_no_race_can_make_are_refused(
    files: list[str], flags: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["race", *files, "--certify", "tie", *flags]) == USAGE
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_budget_ends_the_race(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["race", *files, "--json", "--budget", "3"]) == OK
    race = json.loads(capsys.readouterr().out)
    assert (race["examples_seen"], race["evaluations"], race["dropped"]) == (3, 9, [])


def test_text_classes_race_too(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for path in files[1::2]:
        np.save(path, np.load(path).astype(str))
    assert main(["race", *files]) == OK
    assert "2 of 3 survive" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("predicted", "y", "message"),
    [
        (np.zeros((3, 9), int), np.zeros(9, int), "Transpose the matrix"),
        (np.zeros((9, 3), int), np.zeros(8, int), r"got \(9, 3\) and \(8,\)"),
        (np.zeros((9, 1), int), np.zeros(9, int), "two models"),
        (np.full((9, 2), 0.5), np.zeros(9, int), "values that are no classes"),
        (np.full((9, 2), "a"), np.zeros(9, int), "both as text"),
        (np.array([[None, None]]), np.zeros(1, int), "it holds Python objects"),
        (np.full((9, 2), np.inf), np.zeros(9, int), "the argmax of probabilities"),
        (np.ones((9, 2), bool), np.ones(9, int), "classes, not right and wrong"),
        (np.ones((9, 2), int), np.zeros(9, int), "no prediction .* right.*ones are 1 and 0"),
    ],
)
def test_other_arrays_are_refused(
    predicted: np.ndarray,
    y: np.ndarray,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "p.npy", predicted)
    np.save(tmp_path / "y.npy", y)
    flags = ["--matrix", str(tmp_path / "p.npy"), "--labels", str(tmp_path / "y.npy")]
    assert main(["race", *flags]) == USAGE
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))


def test_an_array_whose_size_no_file_has_is_refused(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Path(files[1]).open("wb") as file:
        header = {"descr": "<i8", "fortran_order": False, "shape": (10**12, 10**9)}
        np.lib.format.write_array_header_1_0(file, header)
    assert main(["race", *files]) == USAGE
    assert "is not a readable .npy file" in capsys.readouterr().err


def test_a_byte_order_mark_is_no_part_of_a_name(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").write_text("good\nfine\npoor\n", encoding="utf-8-sig")
    assert main(["race", *files, "--names", str(tmp_path / "names.txt"), "--json"]) == OK
    race = json.loads(capsys.readouterr().out)
    assert {each["model"] for each in race["survivors"]} == {"good", "fine"}


def test_nothing_is_certified_where_nothing_was_dropped(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["race", *files, "--budget", "3"]) == OK
    out = capsys.readouterr().out
    assert "3 of 3 survive" in out and "With a probability" not in out


def test_names_must_be_as_many_as_models(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").write_text("good\ngood\n")
    assert main(["race", *files, "--names", str(tmp_path / "names.txt")]) == USAGE
    assert "3 different names" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--race-error", "0"], ["--indifference", "1.5"]])
def test_fractions_out_of_range_are_refused(
    files: list[str], flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["race", *files, *flags])
    assert "is not a fraction" in capsys.readouterr().err
