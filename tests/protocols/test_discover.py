"""Discovery of objects: overlaps by hand, what is read, and a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bob.cli import main
from bob.datasets.boxes import ImageBoxes
from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError
from bob.protocols import Result, StatisticsNeed
from bob.protocols.discover import PROTOCOL, DiscoverSettings, largest_overlaps
from bob.specs import GRID, KEYS
from tests.builders.boxes import image_boxes, with_boxes
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import blocky_masks, mask_dataset, statistics_of

SETTINGS = DiscoverSettings(input_px=None, lost_patches=3, tau=0.2)
BOXES = [
    image_boxes([[0, 0, 8, 4]], [0], size=(12, 12)),
    image_boxes([[4, 4, 12, 12], [0, 0, 2, 2]], [1, 0], difficult=[True, False], size=(12, 12)),
    image_boxes([[0, 0, 12, 12]], [2], crowds=[True], size=(12, 12)),
]
"""Of cells of 4 px: the thing in the first image; a difficult one in the second; crowds alone."""


def dataset() -> Dataset:
    return with_boxes(mask_dataset({"test": blocky_masks(3, 3, 3, 4, 0)}, 3), {"test": BOXES})


def maps(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return 3 x 3 maps with a thing at the upper left, or at the lower right."""
    grids = np.tile(np.array([1, 0], np.float32), (3, 3, 3, 1))
    grids[0, 0, :2] = grids[1, 1:, 2] = grids[1, 2, 1] = (-1, 1)
    return grids[at]


def solved(needs: Any = None, shard: int = 1000) -> Result:
    chosen = needs or PROTOCOL.needs(SETTINGS, dataset(), BASELINE)
    inputs = statistics_of(chosen, dataset(), maps, shard)
    problem = PROTOCOL.build(SETTINGS, dataset(), chosen, inputs, 0)
    return PROTOCOL.solve(problem, SETTINGS, "cpu")


def test_overlaps_are_those_of_the_best_object() -> None:
    """Boxes of all of the image and of its left half: 32 of 144 and of 72 px; 4 of each."""
    shares = np.array([[0, 0, 1, 1], [0, 0, 0.5, 1]])
    true: ImageBoxes = image_boxes([[0, 0, 8, 4], [0, 0, 2, 2]], [0, 0], size=(12, 12))
    # the left half is 6 x 12; it shares 6 x 4 with the object of 8 x 4
    assert largest_overlaps(shares, true).tolist() == [32 / 144, 24 / (72 + 32 - 24)]


def test_boxes_are_found_and_images_of_crowds_left_out() -> None:
    """The thing of the second image has an L of cells: its box is that of the difficult object."""
    result = solved()
    assert result.outcome.overlap.tolist() == [1, 1]
    assert result.shown["position"].tolist() == [0, 1] and (result.shown["score"] == 1).all()
    shown = result.shown["boxes"][:, 0] * 12  # of 12 px
    np.testing.assert_allclose(shown, [[0, 0, 8, 4], [4, 4, 12, 12]], rtol=1e-6)
    assert result.shown["overlaps"][:, 0].tolist() == [1, 1]
    found: dict[str, Any] = {part.suffix: part.outcome for part in result.parts}
    assert list(found) == ["", "lost", "patches", "lost_patches", "image", "middle"]
    assert found["lost"].overlap.tolist() == [1, 1]
    assert found["image"].overlap.tolist() == [32 / 144, 64 / 144]
    # the middle is 6 x 6 at (3, 3): 5 x 1 of 8 x 4; 5 x 5 of 8 x 8
    assert found["middle"].overlap.tolist() == [5 / (36 + 32 - 5), 25 / (36 + 64 - 25)]
    assert result.detail == {"grid": [3, 3], "reads": "keys"}


def test_results_do_not_depend_on_shards() -> None:
    for whole, part in zip(solved().parts, solved(shard=1).parts, strict=True):
        assert whole.outcome and part.outcome
        np.testing.assert_array_equal(whole.outcome.overlap, part.outcome.overlap)  # type: ignore[attr-defined]


def test_backbones_without_keys_are_read_by_their_patches() -> None:
    needs = PROTOCOL.needs(SETTINGS, dataset(), BASELINE)
    assert [(need.backbone.output, need.optional) for need in needs] == [
        (KEYS, True),
        (GRID, False),
    ]
    assert all(isinstance(need, StatisticsNeed) for need in needs)
    result = solved(needs[1:])
    assert [part.suffix for part in result.parts] == ["", "lost", "image", "middle"]
    assert result.detail["reads"] == "patches"


def test_images_without_boxes_are_not_applicable() -> None:
    bare = mask_dataset({"test": blocky_masks(3, 3, 3, 4, 0)}, 3)
    with pytest.raises(NotApplicableError, match="needs boxes; test of dataset 'd' has none"):
        PROTOCOL.needs(SETTINGS, bare, BASELINE)


def test_a_run_scores_the_sample(tmp_path: Path) -> None:
    words = "--tasks discover --datasets openmoji_objects --limit 6 --offline --runtime eager"
    places = ["--results", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    assert main(["run", "--backbones", "raw_pixels", *words.split(), *places]) == 0
    (path,) = (tmp_path / "results" / "records").glob("discover/*/*.json")
    record = json.loads(path.read_text())
    scores = {score["metric"]: score["value"] for score in record["scores"]}
    assert set(scores) == {f"corloc{end}" for end in ("", "_lost", "_image", "_middle")}
    assert record["details"][0]["reads"] == "patches"
