"""F of boundaries by hand, against distance transforms, and laws."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from bob.numerics.dense.boundaries import RADIUS, boundaries, boundary_f, dilated, grown


def halves(first: int) -> NDArray[np.int64]:
    """Return 6 x 6 pixels whose first columns are of class 0, the others of class 1."""
    return np.repeat((np.arange(6) >= first).astype(np.int64)[None], 6, axis=0)


@pytest.mark.parametrize(
    ("radius", "expected"),
    [(0.0, 0.0), (1.0, 1.0)],
    ids=["exact", "one pixel"],
)
def test_a_shifted_edge_is_right_within_its_shift(radius: float, expected: float) -> None:
    """The boundary of class 0 is column 2 in the mask and 3 in the prediction, that of 1 is 3 and
    4: no pixel is right of the same class, all are one pixel off."""
    assert boundary_f(halves(3), halves(4), radius) == expected


def test_a_corner_by_hand() -> None:
    """Class 1 is a square of 2 x 2 in the mask, of 2 x 3 in the prediction, at the upper left.

    Class 1: the boundary of the mask is (0,1), (1,0), (1,1): three of four pixels, that of the
    prediction (0,2), (1,0), (1,1), (1,2). Right are (1,0), (1,1): P = 2/4, R = 2/3, F = 4/7.
    Class 0: the mask's is (0,2), (1,2), (2,0), (2,1), the prediction's (0,3), (1,3), (2,0), (2,1),
    (2,2). Right are (2,0), (2,1): P = 2/5, R = 2/4, F = 4/9.
    """
    mask, predicted = np.zeros((6, 6), np.int64), np.zeros((6, 6), np.int64)
    mask[:2, :2] = predicted[:2, :3] = 1
    assert boundary_f(mask, predicted, 0.0) == pytest.approx((4 / 7 + 4 / 9) / 2)


def by_distances(mask: NDArray[np.int64], predicted: NDArray[np.int64], radius: float) -> float:
    """Return F from the distance of every pixel to the boundary of each class."""
    edges = [boundaries(mask), boundaries(predicted)]
    values = []
    for c in np.union1d(*edges):
        if c < 0:
            continue
        true, said = (edge == c for edge in edges)
        if not true.any() or not said.any():
            values.append(0.0)
            continue
        precision = (distance_transform_edt(~true)[said] <= radius).mean()
        recall = (distance_transform_edt(~said)[true] <= radius).mean()
        values.append(2 * precision * recall / max(precision + recall, 1e-12))
    return float(np.mean(values))


@pytest.mark.parametrize("radius", [1.0, 2.5, 4.0])
def test_shares_are_those_of_distance_transforms(radius: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        mask, predicted = (
            np.kron(rng.integers(0, 4, (5, 6)), np.ones((6, 7), np.int64)) for _ in range(2)
        )
        predicted = np.where(rng.random(mask.shape) < 0.5, mask, predicted)
        expected = by_distances(mask, predicted, radius)
        assert boundary_f(mask, predicted, radius) == pytest.approx(expected)


def test_boundaries_have_two_sides_and_none_at_the_border() -> None:
    """Columns 2 and 3 of 6 x 6 pixels in halves."""
    edge = boundaries(halves(3))
    assert (edge[:, 2] == 0).all() and (edge[:, 3] == 1).all()
    assert (edge[:, [0, 1, 4, 5]] == -1).all()


def test_a_band_of_ignored_pixels_is_closed_in_its_middle() -> None:
    """Columns 2 and 3 are ignored between 0 and 1: each side grows by one column."""
    mask = halves(3)
    mask[:, 2:4] = -1
    assert (grown(mask, 1) == halves(3)).all()
    assert boundary_f(mask, halves(3), 1.0) == 1


def test_ignored_areas_have_no_boundary() -> None:
    """Of 8 columns, 4 to 7 are ignored; a radius of 1 fills one, and a boundary beyond is free."""
    mask = np.zeros((8, 8), np.int64)
    mask[:, 4:] = -1
    predicted = np.zeros((8, 8), np.int64)
    predicted[:, 6:] = 1
    assert np.isnan(boundary_f(mask, predicted, 1.0))
    predicted[:, 2:] = 1
    assert boundary_f(mask, predicted, 1.0) == 0


def test_a_prediction_without_boundaries_has_none_right() -> None:
    assert boundary_f(halves(3), np.zeros((6, 6), np.int64), 2.0) == 0
    assert np.isnan(boundary_f(np.zeros((6, 6), np.int64), np.zeros((6, 6), np.int64)))


def test_the_radius_is_a_share_of_the_diagonal() -> None:
    """300 x 400 px have a diagonal of 500: 3.75 px, so that an edge is right 3 px off and not 4."""
    edge = np.repeat((np.arange(400) >= 200).astype(np.int64)[None], 300, axis=0)
    assert RADIUS * 500 == 3.75
    shifted = [
        np.repeat((np.arange(400) >= 200 + off).astype(np.int64)[None], 300, axis=0)
        for off in (3, 4)
    ]
    assert [boundary_f(edge, each) for each in shifted] == [1, 0]


def test_more_classes_than_bits_are_told_apart() -> None:
    """100 columns of a class each: shifted by one, no pixel is right."""
    columns = np.repeat(np.arange(100)[None], 3, axis=0)
    assert boundary_f(columns, columns, 0.0) == 1
    assert boundary_f(columns, np.roll(columns, 1, axis=1), 0.0) == 0


@pytest.mark.parametrize("radius", [0.0, 1.0, 1.5, 3.7, 5.0])
def test_dilation_is_by_a_disk(radius: float) -> None:
    rng = np.random.default_rng(0)
    dots = rng.random((2, 20, 24)) < 0.02
    bits = dots[0].astype(np.uint64) + np.uint64(2) * dots[1].astype(np.uint64)
    for bit in range(2):
        near = distance_transform_edt(~dots[bit]) <= radius
        assert ((dilated(bits, radius) >> np.uint64(bit)) & np.uint64(1) == near).all()
