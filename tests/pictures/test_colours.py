"""Colours of maps, by hand and against published tables of colours."""

import matplotlib
import numpy as np

from bob.pictures.colours import (
    RIGHT,
    UNCOUNTED,
    WRONG,
    class_colours,
    paint_classes,
    paint_depth,
    paint_errors,
)


def test_classes_have_the_colours_of_pascal_voc() -> None:
    """Those of the development kit: background, aeroplane, bicycle, bird, person, monitor."""
    colours = class_colours(21)
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0)}
    expected |= {15: (192, 128, 128), 20: (0, 64, 128)}
    assert {c: tuple(colours[c].tolist()) for c in expected} == expected
    assert len({tuple(colour) for colour in class_colours(200).tolist()}) == 200


def test_pixels_that_do_not_count_have_a_colour_of_their_own() -> None:
    assert paint_classes(np.array([[1, -1]]), 2).tolist() == [[[128, 0, 0], [*UNCOUNTED]]]
    unknown = paint_depth(np.array([[np.nan]]), 1.0, 4.0)
    assert unknown.tolist() == [[[*UNCOUNTED]]]


def test_depth_has_the_colours_of_viridis_by_ratios() -> None:
    """2 m is half way from 1 to 4 m; beyond the range, colours are those of its ends."""
    depth = np.array([[1.0, 2.0, 4.0, 9.0]])
    viridis = matplotlib.colormaps["viridis"]([0.0, 0.5, 1.0, 1.0])[:, :3] * 255
    assert np.abs(paint_depth(depth, 1.0, 4.0)[0] - viridis).max() < 1.01


def test_errors_go_from_light_to_dark() -> None:
    painted = paint_errors(
        np.array([[0.0, 1.0, 7.0, 0.0]]), np.array([[False, False, False, True]])
    )
    assert painted.tolist() == [[[*RIGHT], [*WRONG], [*WRONG], [*UNCOUNTED]]]
