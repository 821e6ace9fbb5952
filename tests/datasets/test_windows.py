"""Windows of images are images of their own, whose masks are cut as they are."""

import io

import numpy as np
import pytest
from PIL import Image

from bob.datasets.dataset import Split
from bob.datasets.depths import Depths
from bob.datasets.image_sets import HoldOut, ImageSet
from bob.datasets.masks import Masks
from bob.datasets.windows import WindowMasks, windowed_split
from tests.builders.splits import digests, make_dataset

SIZES = ((7, 10), (12, 5))


def coded(i: int) -> "np.ndarray[tuple[int, int], np.dtype[np.int16]]":
    """Return a mask each of whose pixels has a class of its own: its column and its row."""
    rows, columns = np.indices(SIZES[i % 2])
    return (16 * rows + columns).astype(np.int16)


def png(i: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(coded(i).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def coded_split(n: int = 2) -> Split:
    content = digests(n, "windows")
    masks = Masks([f"mask {digest}" for digest in content], coded)
    depths = Depths(content, lambda i: coded(i).astype(np.float32), (0.5, 500.0), "garg")
    ids = [f"{i}.png" for i in range(n)]
    return Split(ids, np.arange(n), content, png, masks=masks, depths=depths)


@pytest.mark.parametrize("windows", [2, 4])
def test_targets_of_windows_are_cut_as_the_images_are(windows: int) -> None:
    """Grey values of images are classes and depths, of which each pixel has its own."""
    split, cut = coded_split(), windowed_split(coded_split(), windows)
    rows = windows**2
    assert len(cut) == 2 * rows and cut.masks is not None
    assert cut.y.tolist() == [0] * rows + [1] * rows
    seen: list[set[int]] = [set(), set()]
    for position in range(len(cut)):
        assert cut.alter is not None
        shown = np.asarray(cut.alter(position, cut.decode(position)))[:, :, 0]
        mask = cut.masks.read(position)
        np.testing.assert_array_equal(shown, mask)
        assert cut.depths is not None and cut.depths.crop is None
        np.testing.assert_array_equal(shown, cut.depths.read(position))
        seen[position // rows] |= {*mask.ravel().tolist()}
    for i in range(2):
        assert split.masks is not None
        assert seen[i] == {*split.masks.read(i).ravel().tolist()}


def test_targets_of_centred_squares_are_cut_as_the_images_are() -> None:
    """Of 7 x 10 pixels, columns 1 to 7; of 12 x 5, rows 3 to 7: one more is left below."""
    cut = windowed_split(coded_split(), "center")
    assert len(cut) == 2 and cut.masks is not None and cut.depths is not None
    assert not isinstance(cut.masks, WindowMasks) and cut.ids[0] == "0.png centred square"
    for i, (rows, columns) in enumerate([(range(7), range(1, 8)), (range(3, 8), range(5))]):
        expected = [[16 * row + column for column in columns] for row in rows]
        assert cut.alter is not None
        shown = np.asarray(cut.alter(i, cut.decode(i)))[:, :, 0]
        for target in (shown, cut.masks.read(i), cut.depths.read(i)):
            assert np.asarray(target).tolist() == expected


def test_the_second_window_of_two_begins_after_a_third() -> None:
    """10 columns: 10 / 3 is rounded down, 20 / 3 up."""
    cut = windowed_split(coded_split(1), 2)
    assert isinstance(cut.masks, WindowMasks) and cut.ids[1] == "0.png window 1,2 of 2"
    first, second = (cut.masks.read(position)[0].tolist() for position in (0, 1))
    assert first == [0, 1, 2, 3, 4, 5, 6] and second == [3, 4, 5, 6, 7, 8, 9]


def test_digests_cover_the_windows() -> None:
    split = coded_split()
    sets = [split, *(windowed_split(split, windows) for windows in ("center", 2, 4))]
    assert len({image for each in sets for image in each.content}) == 2 + 2 + 8 + 32
    assert len({each.fingerprint for each in sets}) == 4


def test_a_set_of_windows_is_plain_data_and_opens_its_part() -> None:
    part = ImageSet("train", part=HoldOut(0.25, 0, True))
    images = ImageSet("train", part=part.part, windows=2)
    assert images.name == "train (held out) in 2 x 2 windows" and images.whole == part
    assert ImageSet.from_plain(images.plain()) == images
    assert "windows" not in part.plain()
    data = make_dataset({"train": coded_split(8)}, ["a"], kind="segmentation")
    whole, cut = part.open(data), images.open(data)
    assert len(whole) == 2 and [*cut.ids][::4] == [f"{i} window 1,1 of 2" for i in whole.ids]


def test_reasons_of_windows_are_those_of_their_images() -> None:
    reasons = {4: "cut short", 5: "cut short", 6: "cut short", 7: "cut short"}
    assert ImageSet("test", windows=2).by_image(reasons) == {1: "cut short"}
    assert ImageSet("test").by_image({4: "cut short"}) == {4: "cut short"}


def test_a_set_of_centred_squares_is_plain_data() -> None:
    images = ImageSet("test", windows="center")
    assert images.name == "test in centred squares" and images.whole == ImageSet("test")
    assert ImageSet.from_plain(images.plain()) == images
    assert images.by_image({3: "cut short"}) == {3: "cut short"}
