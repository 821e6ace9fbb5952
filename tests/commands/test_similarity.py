"""`bob-bench similarity`: stored features of backbones compared with each other."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from bob.commands.similarity import matrix, similar_pairs
from bob.errors import OK, USAGE
from bob.leaderboards.gather import gather
from bob.leaderboards.page.payload import PageLayout
from tests.builders.photos import make_photos

THREE = "raw_pixels,channel_statistics,random_convolution"


@pytest.fixture
def stored(bob, tmp_path: Path) -> Path:
    """Photos whose features of three baselines are stored."""
    photos = tmp_path / "photos"
    make_photos(photos, per_class=50, classes=2, side_px=8)
    code, _, err = bob("run", "--data", photos, "--backbones", THREE, "--tasks", "knn")
    assert code == OK, err
    return photos


def test_every_pair_is_compared_with_limits(bob, stored: Path, tmp_path: Path) -> None:
    table = tmp_path / "similarity.csv"
    code, out, err = bob(
        "similarity", THREE, "--data", stored, "--split", "train", "--json", "--to", table
    )
    assert code == OK, err
    pairs = json.loads(out[: out.rindex("]") + 1])
    assert {frozenset((pair["a"], pair["b"])) for pair in pairs} == {
        frozenset(names)
        for names in (
            ("raw_pixels", "channel_statistics"),
            ("raw_pixels", "random_convolution"),
            ("channel_statistics", "random_convolution"),
        )
    }
    for pair in pairs:
        for measure in ("cka", "mutual_knn", "rsa"):
            assert pair[f"{measure}_low"] <= pair[measure] <= pair[f"{measure}_high"] <= 1
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["a"], row["b"]) for row in rows] == [(pair["a"], pair["b"]) for pair in pairs]
    assert float(rows[0]["cka"]) == pytest.approx(pairs[0]["cka"])


def test_matrices_are_printed(bob, stored: Path) -> None:
    code, out, _ = bob("similarity", THREE, "--data", stored, "--split", "train")
    assert code == OK
    for title in ("debiased linear CKA", "10 nearest images", "rank correlation of distances"):
        assert title in out


def test_what_cannot_be_compared_is_refused(bob, stored: Path) -> None:
    for words, message in (
        (("raw_pixels", "--data", stored), "selects one backbone; name two or more"),
        ((THREE, "--data", stored, "--split", "val"), "has no split 'val'; it has train, test"),
        ((THREE, "--data", stored, "--most", "5"), "5 images would be compared, and 20 are needed"),
        (("raw_pixels,efficientnet_lite0_random", "--data", stored), "not stored below"),
        ((THREE,), "name a registered dataset, or give your images"),
    ):
        code, _, err = bob("similarity", *words)
        assert code == USAGE and message in " ".join(err.split()), err


def test_alike_backbones_are_beside_each_other() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 60, 10))
    features = {"a": a, "b": b, "c": a + 0.1 * rng.normal(size=a.shape), "d": b + 0.1}
    pairs = similar_pairs(features)
    order = list(dict.fromkeys(name for pair in pairs for name in (pair.a, pair.b)))
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset("ac"), frozenset("bd")}


def test_the_page_shows_what_was_kept(bob, stored: Path, tmp_path: Path) -> None:
    bob("similarity", THREE, "--data", stored, "--split", "train")
    code, _, err = bob("leaderboard")
    assert code == OK, err
    board = gather([tmp_path / "results"]).board()
    (similar,) = board.similarities
    assert (similar.dataset, similar.split) == ("photos", "train")
    assert set(similar.names) == set(THREE.split(",")) and None not in similar.pairs
    assert PageLayout(board).details()["similarities"][0]["images"] == [80, 80, 80]


def test_undefined_similarities_are_null() -> None:
    """Constant features have neither a variance nor an order of distances."""
    rows = np.random.default_rng(0).normal(size=(40, 3))
    (pair,) = similar_pairs({"a": rows, "b": np.ones((40, 3))})
    assert (pair.cka, pair.cka_low, pair.rsa) == (None, None, None)
    table = matrix([pair], "cka", "CKA")
    assert list(table.columns[1].cells)[1].plain == "–"
