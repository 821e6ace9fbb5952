"""Depth from an image with a linear head that is solved from sums of one pass over the images.

Every image passes the backbone once: sums over the patches of the images to fit; sums over held-out
images and, for each strength of the head, their errors; then the test images with the head of the
chosen strength, solved on all train images. No feature map is stored.

Two heads, ridge regressions that share their sums: `log`, on the mean log depth of a patch's
pixels; and `bins`, on the share of them in each bin of depth, whose positive part, divided by its
sum, weighs the centres of the bins. Predictions are upsampled bilinearly to the depth map's size,
in metres. After the linear probes of DINOv2 (arXiv:2304.07193) and DINOv3 (arXiv:2508.10104), with
256 bins from the least to the most depth, as theirs. Differs from these in the following points:

- ridge regression in closed form, where they minimise a scale-invariant loss of pixels (and DINOv2
  one of gradients) by AdamW over 38,400 batches of augmented crops;
- of the shares, the positive part counts as it is, where DINOv2 adds 0.1 to the positive part of
  each of its outputs, which are no shares;
- no class token is appended to patches, and features are not upsampled, as in DINOv3; DINOv2 does
  both;
- the whole image is squashed to one size, without flips, and so is each window with `windows`;
  theirs keeps its shape and averages the prediction with that of the mirrored image.

Errors are those of an image's pixels in the dataset's range and crop, averaged over images. Beside
them stand those of predictions aligned to each image's truth by scale and shift (least squares of
depth, as in Probe3D and DINOv3), which leave the shape of the scene.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError
from bob.features.shard import Arrays
from bob.numerics.arrays import Doubles
from bob.numerics.dense.depth import ERRORS, Spacing
from bob.outcomes import DepthErrors
from bob.protocols.dense import (
    DENSE_KINDS,
    WindowSettings,
    choice_detail,
    path_needs,
    path_statistics,
    sets_to_test,
    squashed,
)
from bob.protocols.depth_statistics import (
    PREDICTORS,
    DepthBins,
    DepthHead,
    DepthHeadKind,
    depth_errors_spec,
    depth_sums_spec,
    mean_delta1,
)
from bob.protocols.needs import Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec


class DepthSettings(WindowSettings):
    """Settings of depth prediction."""

    head: DepthHeadKind
    """`log`, regression on log depth, or `bins`, on the shares of bins."""
    bins: Annotated[int, Field(ge=2)] = 256
    """Number of bins, which the sums hold for either head."""
    spacing: Spacing = "uniform"
    """Whether the centres of bins are at equal steps or at equal ratios."""

    def head_settings(self) -> DepthHead:
        """Return the heads as plain data."""
        return DepthHead(*self.log10_strength, self.head)

    def bin_settings(self) -> DepthBins:
        """Return the bins as plain data."""
        return DepthBins(self.bins, self.spacing)


@dataclass(frozen=True, eq=False)
class DepthProblem:
    """Errors of the test sets, and of held-out images at every strength."""

    held_out: Doubles | None
    """(M, S, 7)"""
    tests: Mapping[str, Arrays]
    """Test set → its errors (N, 8, 7); `test` is the first."""


class DepthProbe(Protocol[DepthSettings, DepthProblem]):
    """The strength with the highest held-out delta1, refit on all train images."""

    name = "depth"
    settings = DepthSettings
    kinds = DENSE_KINDS
    outcomes = (DepthErrors,)

    def needs(self, settings: DepthSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        _require_depths(dataset)
        if settings.windows == "center":
            _require_whole_scores(dataset)
        head, bins = settings.head_settings(), settings.bin_settings()
        return path_needs(
            squashed(backbone, settings),
            dataset,
            settings.held_out,
            depth_sums_spec(bins, settings.joined_windows),
            lambda every: depth_errors_spec(
                head, bins, every_strength=every, windows=settings.joined_windows
            ),
            settings.windows,
        )

    def build(
        self,
        settings: DepthSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> DepthProblem:
        statistics = path_statistics(dataset, needs, inputs)
        held_out = None if statistics.held_out is None else statistics.held_out["errors"]
        return DepthProblem(held_out, statistics.tests)

    def solve(self, problem: DepthProblem, settings: DepthSettings, device: str) -> Result:
        path = settings.head_settings()
        choice = choice_detail(path, "delta1", problem.held_out, mean_delta1)
        detail = {"grid": problem.tests["test"]["grid"].tolist(), **choice}
        return Result(
            tuple(_parts(problem.tests)), detail, shown=settings.shown(problem.tests["test"])
        )


def _require_depths(dataset: Dataset) -> None:
    require_splits(dataset, "train", "test")
    if missing := [name for name, split in dataset.splits.items() if split.depths is None]:
        raise NotApplicableError(
            f"needs a depth map for each image; {missing[0]} of dataset {dataset.name!r} has none."
        )


def _require_whole_scores(dataset: Dataset) -> None:
    """Refuse datasets whose evaluation scores a part of each whole image."""
    for name in sets_to_test(dataset):
        depths = ImageSet(name).open(dataset).depths
        if depths is not None and depths.crop is not None:
            raise NotApplicableError(
                f"scores a part of each whole image of dataset {dataset.name!r} (the crop "
                f"{depths.crop!r}), which a centred square does not have; leave out 'windows'."
            )


def _parts(tests: Mapping[str, Arrays]) -> list[ResultPart]:
    """Return the head's errors and their bounds, as they are and aligned, and those of shifts."""
    parts = []
    for row, (aligned, name) in enumerate(
        (aligned, name) for aligned in ("", "aligned") for name in PREDICTORS
    ):
        bound = "" if name == "head" else name
        facets = {"alignment": "scale and shift"} if aligned else {}
        facets |= {"bound": bound} if bound else {}
        suffix = "_".join(word for word in (aligned, bound) if word)
        parts.append(ResultPart(_outcome(tests["test"], row), suffix, facets=facets))
    shifts = [name for name in tests if name != "test"]
    return parts + [
        ResultPart(_outcome(tests[name], 0), name, facets={"shift": name}) for name in shifts
    ]


def _outcome(statistics: Arrays, row: int) -> DepthErrors:
    errors = statistics["errors"][:, row]
    return DepthErrors(**{name: errors[:, i] for i, name in enumerate(ERRORS)})


PROTOCOL = DepthProbe()
