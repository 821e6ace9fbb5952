"""LOST and TokenCut: by hand on 3 x 3 patches, slow versions, and boxes of the official code."""

import numpy as np
import pytest
import scipy.linalg

from bob.numerics.arrays import Doubles
from bob.numerics.dense.discovery import (
    Cells,
    component_box,
    lost,
    standardised_map,
    token_cut,
)

GROUND, THING = (1.0, 0.0), (-1.0, 1.0)
"""Products: 1 within the ground, 2 within the thing, -1 between them; cosine -0.7."""


def hand(*things: tuple[int, int]) -> Doubles:
    """Return a 3 x 3 map with the thing at some cells."""
    grid = np.tile(np.array(GROUND), (3, 3, 1))
    for row, column in things:
        grid[row, column] = THING
    return grid


@pytest.mark.parametrize(
    ("cells", "box"),
    [(((0, 0), (0, 1)), (0, 0, 2, 1)), (((1, 2), (2, 2), (2, 1)), (1, 1, 3, 3))],
)
def test_a_thing_on_a_ground_is_found_by_hand(
    cells: tuple[tuple[int, int], ...], box: Cells
) -> None:
    """LOST: patches of n things have degree n - 1, those of the ground 8 - n; the seed is a thing,
    s = n THING, of product 2 n with things and -n with the ground. TokenCut: two cliques with
    weights of 1e-5 between them; entries are constant in each, and larger in the smaller one.
    """
    assert lost(hand(*cells), 3) == box
    assert token_cut(hand(*cells), 0.2) == box


def test_parts_that_only_touch_at_a_corner_are_not_connected() -> None:
    is_object = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 1]], bool)
    assert component_box(is_object, 1) == (0, 0, 2, 1)
    assert component_box(is_object, 5) == (2, 1, 3, 3)


def test_lost_grows_from_the_patches_of_lowest_degree_alone() -> None:
    """Seed (1, 0, 0) at cell 0; cell 1 joins only if it is a candidate and brings cell 2."""
    grid = np.array([[[1.0, 0, 0], [1, 1, 0], [-0.1, 1, 0]] + [[-1.0, 0, 1]] * 4])
    # degrees: 1 (cell 1), 2 (cells 0 and 2), 4 (cell 1 ... ground with cell 2)
    degrees = [(np.delete(grid[0] @ row, i) > 0).sum() for i, row in enumerate(grid[0])]
    assert degrees == [1, 2, 5, 4, 4, 4, 4]
    assert lost(grid, 1) == (0, 0, 2, 1)  # s = (1, 0, 0)
    assert lost(grid, 2) == (0, 0, 3, 1)  # s = (2, 1, 0), of product 0.8 with cell 2


def example(seed: int) -> Doubles:
    """Return a map (5, 7, 6) with an object of 2 x 3 patches."""
    rng = np.random.default_rng(seed)
    rows, columns = np.arange(5)[:, None], np.arange(7)
    top, left = rng.integers(0, 3), rng.integers(0, 4)
    inside = (rows >= top) & (rows < top + 2) & (columns >= left) & (columns < left + 3)
    noise = 0.6 * rng.normal(size=(5, 7, 6))
    means = rng.normal(size=6), rng.normal(size=6)
    return np.asarray(noise + np.where(inside[..., None], *means), np.float64)


@pytest.mark.parametrize(
    ("seed", "of_lost", "of_token_cut"),
    [
        (0, (0, 0, 5, 5), (2, 2, 5, 4)),
        (1, (1, 0, 7, 4), (1, 1, 5, 4)),
        (2, (1, 1, 4, 4), (1, 2, 4, 4)),
        (3, (0, 0, 3, 4), (0, 2, 3, 4)),
        (5, (0, 0, 7, 5), (3, 2, 6, 4)),
    ],
)
def test_boxes_are_those_of_the_official_code(
    seed: int, of_lost: Cells, of_token_cut: Cells
) -> None:
    """Of valeoai/LOST with k_patches 10, and of YangtaoWANG95/TokenCut with tau 0.2."""
    assert lost(example(seed), 10) == of_lost
    assert token_cut(example(seed), 0.2) == of_token_cut


@pytest.mark.parametrize("seed", range(4))
def test_token_cut_solves_the_generalised_problem(seed: int) -> None:
    rows = example(seed).reshape(35, 6)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    weights = np.where(unit @ unit.T > 0.3, 1, 1e-5)
    degrees = np.diag(weights.sum(axis=1))
    y = scipy.linalg.eigh(degrees - weights, degrees)[1][:, 1]
    place = int(np.abs(y).argmax())
    side = (y > y.mean()) == (y[place] > y.mean())
    assert token_cut(example(seed), 0.3) == component_box(side.reshape(5, 7), place)


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_boxes_do_not_depend_on_the_scale_of_features(factor: float) -> None:
    scaled = (example(3) * factor).astype(np.float32)
    assert lost(scaled, 10) == lost(example(3), 10)
    assert token_cut(scaled, 0.2) == token_cut(example(3), 0.2)


def test_maps_without_any_difference_have_a_box() -> None:
    for grid in (np.zeros((2, 3, 4)), np.ones((2, 3, 4)), np.ones((1, 1, 4))):
        for box in (lost(grid, 100), token_cut(grid, 0.2), token_cut(standardised_map(grid), 0.2)):
            assert 0 <= box[0] < box[2] <= grid.shape[1] and 0 <= box[1] < box[3] <= grid.shape[0]


def test_a_standardised_map_has_mean_0_and_variance_1() -> None:
    values = standardised_map(3 + 2 * example(0))
    assert values.mean() == pytest.approx(0, abs=1e-12) and values.std() == pytest.approx(1)
