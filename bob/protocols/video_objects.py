"""Objects of a video, followed from their masks in the first frame without training.

The protocol of DINO (arXiv:2104.14294) on DAVIS 2017 (arXiv:1704.00675): labels propagate from
patches of the first frame and of the last 7 to the 5 most similar ones near them; see
`bob.numerics.dense.video`. J and F are those of the official evaluation: of each object of the
first frame, over all frames but the first and the last. Objects are the numbers that pixels of the
first frame have, one or several; numbers between them, which DAVIS does not have, are none. Differs
from DINO's code in the following points:

- frames are squashed to one size, where theirs have a short side of 480 px and keep their shape;
- labels are upsampled to the frame's own size at once, where theirs are upsampled to the input's
  size and the classes then resized without interpolation;
- the input is normalised as the backbone's own (a standard deviation is mistyped there).

Maps of all frames are stored in the cache, as those of `segment_sgd`. Beside the score stand the
ceiling of the grid (`..._ceiling`: the true shares of the cells in place of labels) and the mask of
the first frame, kept for all frames (`..._first_frame`). The interval treats objects as
independent, also those of one video.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.datasets.masks import Mask, Masks
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.cells import cell_shares
from bob.numerics.dense.pixels import at_centres
from bob.outcomes import FollowedObjects
from bob.protocols.caveats import Caveats
from bob.protocols.kept_images import KeptImages, kept_of
from bob.protocols.needs import Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.protocols.segmentation_statistics import SHOWN_PX
from bob.protocols.stored_maps import StoredMapSettings, map_needs, maps_by_set
from bob.specs import BackboneSpec
from bob.specs.numbers import Count

LEAST_FRAMES = 3
"""First and last are not scored."""
PREDICTORS = ("", "ceiling", "first_frame")


class VideoObjectsSettings(StoredMapSettings):
    """Settings of following objects."""

    frames: Count
    """Frames before the present one whose labels count, beside the first."""
    k: Count
    """Most similar patches whose labels count."""
    radius: Count
    """Rows and columns by which they are away at most, in patches."""
    temperature: Annotated[float, Field(gt=0)]
    """A patch's labels weigh exp(cosine / temperature)."""


@dataclass(frozen=True, eq=False)
class Video:
    """The frames of a video, in their order."""

    rows: Ints
    """(T,) rows of their maps."""
    positions: Ints
    """(T,) positions of the frames in the split."""


@dataclass(frozen=True, eq=False)
class VideoObjectsProblem:
    """Maps and masks of the frames of videos. Both are read while objects are followed."""

    features: Features
    masks: Masks
    """Object of each pixel, counted from 1 in each video; 0 is the background."""
    videos: Sequence[Video]
    all_videos: int
    """Their number, with those of too few frames."""
    kept: KeptImages
    """Chooses frames for pages that show them."""


class VideoObjects(Protocol[VideoObjectsSettings, VideoObjectsProblem]):
    """Labels of the most similar patches."""

    name = "video_objects"
    settings = VideoObjectsSettings
    kinds = frozenset({"video"})
    outcomes = (FollowedObjects,)

    def needs(
        self, settings: VideoObjectsSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_splits(dataset, "test")
        test = dataset.splits["test"]
        if test.masks is None or test.groups is None:
            raise NotApplicableError(
                f"needs masks of frames, and their videos as groups; test of dataset "
                f"{dataset.name!r} lacks them."
            )
        return map_needs(settings, backbone, [ImageSet("test")])

    def build(
        self,
        settings: VideoObjectsSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> VideoObjectsProblem:
        (frames,) = maps_by_set(needs, dataset, inputs).values()
        test = frames.split
        assert test.masks is not None and test.groups is not None
        videos = videos_of(frames.features.positions, test.groups)
        kept, count = KeptImages.of(test), len(set(test.groups))
        return VideoObjectsProblem(frames.features, test.masks, videos, count, kept)

    def solve(
        self, problem: VideoObjectsProblem, settings: VideoObjectsSettings, device: str
    ) -> Result:
        statistics = problem.kept.start({"objects": np.zeros((0, SHOWN_PX, SHOWN_PX), np.uint8)})
        scores = [
            of for video in problem.videos for of in followed(problem, video, settings, statistics)
        ]
        agreement = np.reshape(np.array(scores), (-1, len(PREDICTORS), 2))
        parts = []
        for i, name in enumerate(PREDICTORS):
            outcome = FollowedObjects(agreement[:, i, 0], agreement[:, i, 1])
            parts.append(ResultPart(outcome, name, facets={"bound": name} if name else {}))
        detail = {
            "grid": list(problem.features.shape[:2]),
            "videos": len(problem.videos),
            "objects": len(agreement),
        }
        caveats = _left_out(problem.all_videos - len(problem.videos), problem.all_videos)
        return Result(tuple(parts), detail, caveats, shown=kept_of(statistics))


def _left_out(videos: int, of: int) -> Caveats:
    """Return a caveat where some of all videos are too short to be scored."""
    if not videos:
        return ()
    return (f"{videos:,} of {of:,} videos have fewer than {LEAST_FRAMES} frames, and do not count",)


def videos_of(positions: Ints, groups: Sequence[str]) -> list[Video]:
    """Return the videos of frames at `positions` (n,) of a split, but those of too few frames."""
    names = np.array([groups[position] for position in positions.tolist()])
    videos = [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]
    return [Video(rows, positions[rows]) for rows in videos if len(rows) >= LEAST_FRAMES]


def followed(
    problem: VideoObjectsProblem,
    video: Video,
    settings: VideoObjectsSettings,
    statistics: dict[str, NDArray[Any]],
) -> list[Doubles]:
    """Return J and F (3, 2) of each object by each of PREDICTORS, averaged over frames.

    Frames to keep are added to `statistics`, with the objects (72, 72) of their pixels; their score
    is the mean J of all objects.
    """
    from bob.numerics.dense.video import Propagation, objects_of_pixels, propagated

    numbered = [problem.masks.read(i) for i in video.positions.tolist()]
    numbers = np.unique(numbered[0][numbered[0] > 0])
    masks = [counted_from_one(mask, numbers) for mask in numbered]
    grid, objects = problem.features.shape[:2], len(numbers)
    first = np.eye(objects + 1)[at_centres(masks[0], (grid[0], grid[1]))]
    how = Propagation(settings.frames, settings.k, settings.radius, settings.temperature)
    labels = propagated(_maps(problem.features, video.rows), first, how)
    total = np.zeros((objects, len(PREDICTORS), 2))
    frames = zip(video.positions[1:-1].tolist(), masks[1:-1], labels, strict=False)
    for position, mask, of_frame in frames:  # the last is not scored
        shares = cell_shares(mask, (grid[0], grid[1]), objects + 1)
        predicted = (
            objects_of_pixels(of_frame, mask.shape),
            objects_of_pixels(shares, mask.shape),
            masks[0],
        )
        agreement = [
            [_agreement(mask, said, number + 1) for said in predicted] for number in range(objects)
        ]
        total += np.reshape(agreement, total.shape)
        if objects:
            kept = at_centres(predicted[0], (SHOWN_PX, SHOWN_PX))
            shown = np.array([0, *numbers])[kept].astype(np.uint8)
            region = float(np.mean([of[0][0] for of in agreement]))
            problem.kept.add(statistics, position, region, {"objects": shown})
    return list(total / (len(masks) - 2))


def counted_from_one(mask: Mask, numbers: Mask) -> Ints:
    """Return the object of each pixel (H, W): k for the k-th of the sorted `numbers`, else 0."""
    place: Ints = np.searchsorted(numbers, mask).astype(np.int64)
    return np.where(np.isin(mask, numbers), place + 1, 0)


def _maps(features: Features, rows: Ints) -> Iterator[Floats]:
    for row in rows:
        yield features.take(np.array([row]))[0]


def _agreement(mask: Ints, said: Ints, number: int) -> tuple[float, float]:
    from bob.numerics.dense.video import boundary_agreement, region_overlap

    true, found = mask == number, said == number
    return region_overlap(true, found), boundary_agreement(true, found)


PROTOCOL = VideoObjects()
