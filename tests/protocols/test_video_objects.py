"""Objects followed through videos: bounds, what is scored, and a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bob.cli import main
from bob.datasets.dataset import Dataset, Split
from bob.datasets.limit import limited
from bob.datasets.masks import Masks
from bob.errors import NotApplicableError
from bob.metrics.video import j_and_f
from bob.numerics.dense.cells import cell_shares
from bob.protocols import Result
from bob.protocols.video_objects import PROTOCOL, VideoObjectsSettings, videos_of
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, statistics_of
from tests.builders.splits import digests, make_dataset, make_split

SETTINGS = VideoObjectsSettings(
    input_px=None, frames=2, k=3, radius=4, temperature=0.1, max_gib=1.0
)
FRAMES = 5


def frames(start: int) -> list[NDArray[np.int16]]:
    """Return the masks of a video, of 16 x 16 px: two squares of 4 px that move by 2 px a frame."""
    masks = []
    for t in range(FRAMES):
        mask = np.zeros((16, 16), np.int16)
        mask[2:6, start + 2 * t : start + 2 * t + 4] = 1
        mask[10:14, 12 - 2 * t : 16 - 2 * t] = 2
        masks.append(mask)
    return masks


def dataset() -> Dataset:
    """Return two videos of five frames, and one of a single frame."""
    masks = [*frames(0), *frames(2), np.ones((16, 16), np.int16)]
    return videos(masks, [*["a"] * FRAMES, *["b"] * FRAMES, "short"])


def videos(masks: list[NDArray[np.int16]], groups: list[str]) -> Dataset:
    """Return frames with these masks, in these videos."""
    content = digests(len(masks), "test")
    split = make_split(
        content,
        [-1] * len(masks),
        groups=groups,
        masks=Masks([f"mask {digest}" for digest in content], masks.__getitem__),
    )
    return make_dataset({"test": split}, ["background", "object"], kind="video")


def shares_of(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return maps (n, 8, 8, 3) that hold the shares of the objects: perfect features."""
    assert split.masks is not None
    return np.stack([cell_shares(split.masks.read(i), (8, 8), 3) for i in at]).astype(np.float32)


def constant(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.ones((len(at), 8, 8, 2), np.float32)


def solved(maps: Maps, shard: int = 1000, data: Dataset | None = None) -> Result:
    data = dataset() if data is None else data
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    inputs = statistics_of(needs, data, maps, shard)
    return PROTOCOL.solve(PROTOCOL.build(SETTINGS, data, needs, inputs, 0), SETTINGS, "cpu")


def test_perfect_features_reach_the_ceiling() -> None:
    """Cells are 2 px, along which objects move."""
    result = solved(shares_of)
    scores: dict[str, Any] = {part.suffix: part.outcome for part in result.parts}
    assert list(scores) == ["", "ceiling", "first_frame"]
    assert j_and_f(scores[""]) == pytest.approx(j_and_f(scores["ceiling"]), abs=0.02)
    assert j_and_f(scores["ceiling"]) > 0.9
    assert result.detail == {"grid": [8, 8], "videos": 2, "objects": 4}


@pytest.mark.parametrize("numbers", [(1, 2), (2, 7), (38, 75)])
def test_objects_may_have_any_numbers(numbers: tuple[int, int]) -> None:
    """Two objects have the same scores whatever they are called; 1 to 37 are none."""
    masks = [np.array([0, *numbers], np.int16)[mask] for mask in frames(0)]

    def maps(_: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.stack([cell_shares(frames(0)[i], (8, 8), 3) for i in at]).astype(np.float32)

    named, plain = (solved(maps, data=videos(of, ["a"] * FRAMES)) for of in (masks, frames(0)))
    assert named.detail["objects"] == 2
    for found, expected in zip(named.parts, plain.parts, strict=True):
        for name, values in expected.outcome.to_arrays().items():  # type: ignore[union-attr]
            np.testing.assert_array_equal(found.outcome.to_arrays()[name], values)  # type: ignore[union-attr]
    assert {*np.unique(named.shown["objects"]).tolist()} == {0, *numbers}


def test_objects_that_come_later_are_background() -> None:
    """In the official evaluation, objects are those of the first frame."""
    masks = frames(0)
    for mask in masks[1:]:
        mask[6:10] = 3
    ceiling: Any = solved(constant, data=videos(masks, ["a"] * FRAMES)).parts[1].outcome
    np.testing.assert_allclose(ceiling.region, [1, 1])


def test_videos_that_are_too_short_are_told() -> None:
    assert solved(shares_of).caveats == (
        "1 of 3 videos have fewer than 3 frames, and do not count",
    )


def test_frames_are_kept_for_pages() -> None:
    """Of each video the three frames that are scored; cells of 2 px hold the objects exactly."""
    result, data = solved(shares_of), dataset()
    masks = data.splits["test"].masks
    assert masks is not None
    shown = result.shown
    assert shown["position"].tolist() == [1, 2, 3, 6, 7, 8]
    outcome: Any = result.outcome
    assert shown["score"].mean() == pytest.approx(outcome.region.mean())
    for position, objects in zip(shown["position"].tolist(), shown["objects"], strict=True):
        at_pixels = objects[2::9, 2::9][:8, :8]  # of 72 x 72, one of each cell of 2 px
        agreement = (at_pixels == masks.read(position)[::2, ::2]).mean()
        assert objects.shape == (72, 72) and agreement > 0.9


def test_the_first_mask_is_scored_on_all_frames_but_first_and_last() -> None:
    """Shares of 4 columns that stay after moves of 2, 4 and 6 px: J of 8 / 24, 0 and 0."""
    outcome: Any = solved(constant).parts[2].outcome
    np.testing.assert_allclose(outcome.region, [1 / 9] * 4)


def test_constant_features_follow_nothing() -> None:
    found: Any = solved(constant).outcome
    assert j_and_f(found) < 0.5


def test_results_do_not_depend_on_shards() -> None:
    whole, parts = solved(shares_of), solved(shares_of, shard=3)
    for name, values in whole.outcome.to_arrays().items():
        np.testing.assert_array_equal(values, parts.outcome.to_arrays()[name])


def test_videos_keep_the_order_of_their_frames() -> None:
    videos = videos_of(np.array([0, 1, 3, 4, 5]), ["a", "b", "a", "b", "b", "a"])
    assert [video.positions.tolist() for video in videos] == [[1, 3, 4]]
    assert videos[0].rows.tolist() == [1, 2, 3]


def test_a_limit_keeps_the_first_frames() -> None:
    cut = limited(dataset(), 7)
    assert list(cut.splits["test"].groups or ()) == list("aaaaabb")


def test_images_without_masks_are_not_applicable() -> None:
    bare = make_dataset({"test": make_split(digests(3, "test"), [-1] * 3)}, (), kind="video")
    with pytest.raises(NotApplicableError, match="needs masks of frames, and their videos as grou"):
        PROTOCOL.needs(SETTINGS, bare, BASELINE)


def test_a_run_scores_the_sample(tmp_path: Path) -> None:
    words = "--tasks video_objects --datasets openmoji_clips --limit 8 --offline --runtime eager"
    places = ["--results", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    assert main(["run", "--backbones", "raw_pixels", *words.split(), *places]) == 0
    (path,) = (tmp_path / "results" / "records").glob("video_objects/*/*.json")
    record = json.loads(path.read_text())
    scores = {score["metric"]: score["value"] for score in record["scores"]}
    ends = ("", "_ceiling", "_first_frame")
    assert set(scores) == {
        f"{n}{end}" for n in ("j_and_f", "region_j", "contour_f") for end in ends
    }
    assert 0 < scores["j_and_f"] < scores["j_and_f_ceiling"] < 1
    assert record["details"][0]["objects"] == 2
