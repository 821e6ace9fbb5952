"""Compressed features: against scikit-learn's PCA, by hand, and sizes."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from bob.numerics.arrays import Floats
from bob.numerics.compression import Compressor
from bob.numerics.search.similarity import unit


def rows(n: int, seed: int, width: int = 20) -> Floats:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(n, width)) * np.arange(1, width + 1), np.float32)


def test_principal_components_are_those_of_scikit_learn() -> None:
    train, test = rows(100, 0), rows(30, 1)
    compressed = Compressor(train, test).encoded("pca_5")
    reference = PCA(5, svd_solver="full").fit(unit(train).astype(np.float64))
    expected = reference.transform(unit(test))
    assert np.abs(compressed.test) == pytest.approx(np.abs(expected), abs=1e-6)
    assert compressed.bytes_per_image == 20


@pytest.mark.parametrize(
    ("encoding", "size"),
    [("float32", 80), ("float16", 40), ("int8", 20), ("binary", 3), ("pca_8", 32), ("pca_99", 80)],
)
def test_bytes_per_image(encoding: str, size: int) -> None:
    compressed = Compressor(rows(50, 0), rows(9, 1)).encoded(encoding)
    assert compressed.bytes_per_image == size
    assert len(compressed.train) == 50 and len(compressed.test) == 9


def test_there_are_at_most_as_many_components_as_rows_vary_in() -> None:
    assert Compressor(rows(4, 0), rows(2, 1)).encoded("pca_8").train.shape == (4, 3)


@pytest.mark.parametrize("width", [1, 2])
def test_features_of_one_or_two_dimensions_are_those_of_scikit_learn(width: int) -> None:
    train, test = rows(30, 0, width), rows(9, 1, width)
    compressed = Compressor(train, test).encoded("pca_64")
    expected = PCA(width, svd_solver="full").fit(unit(train).astype(np.float64))
    assert np.abs(compressed.test) == pytest.approx(np.abs(expected.transform(unit(test))))


def test_all_components_keep_the_distances() -> None:
    train, test = rows(50, 0), rows(9, 1)
    compressed = Compressor(train, test).encoded("pca_20")

    def distances(a: Floats, b: Floats) -> Floats:
        return np.asarray(np.linalg.norm(a[:, None] - b, axis=2))

    expected = distances(unit(train), unit(test))
    assert distances(compressed.train, compressed.test) == pytest.approx(expected, abs=1e-5)


def test_int8_by_hand() -> None:
    """The largest train values are .8 and .6: 127 levels of .8/127 and .6/127, and larger test
    values are clipped.
    """
    train = np.array([[0.8, 0.6], [0.8, -0.6]], np.float32)
    compressed = Compressor(train, np.array([[0, 1]], np.float32)).encoded("int8")
    assert compressed.train == pytest.approx(train, abs=1e-6)
    assert compressed.test == pytest.approx(np.array([[0, 0.6]]), abs=1e-6)


def test_signs_are_relative_to_the_train_mean() -> None:
    train = np.array([[1, 0], [0.6, 0.8]], np.float32)
    compressed = Compressor(train, train).encoded("binary")
    assert compressed.train.tolist() == [[1, -1], [-1, 1]]


def test_float16_is_rounded() -> None:
    train = rows(5, 0)
    expected = unit(train).astype(np.float16).astype(np.float32)
    assert np.array_equal(Compressor(train, train).encoded("float16").train, expected)
