"""What protocols on maps of patches share: their settings, the maps they read, and their images."""

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import HoldOut, ImageSet
from bob.datasets.windows import Windows
from bob.errors import DatasetError, NotApplicableError
from bob.extraction.accumulators import AccumulatorSpec, Earlier, add_arrays
from bob.features.shard import Arrays
from bob.protocols.kept_images import kept_of
from bob.protocols.needs import Inputs, Needs, StatisticsNeed
from bob.specs import BackboneSpec, Output
from bob.specs.dataset import DatasetKind
from bob.specs.numbers import Count
from bob.specs.output import Layers
from bob.specs.yaml import Closed

DENSE_KINDS: frozenset[DatasetKind] = frozenset({"segmentation", "depth", "object-detection"})
"""Kinds of datasets with targets of pixels or boxes; one dataset can have several of them."""
HELD_OUT_SEED = 0
ScoresT = TypeVar("ScoresT", bound=Sized)
Curve = Sequence[float]
"""The held-out score of each strength of a path; higher is better."""


class MapSettings(Closed):
    """Which maps are read."""

    input_px: Count | None
    """Side to which images are squashed; None is the backbone's own."""
    layers: Layers = "last"
    """Layers whose maps are concatenated, as in an output `grid@-2,-1`."""


class WindowedMapSettings(MapSettings):
    """The same, of whole images or of windows."""

    windows: Literal["center", 2, 4] | None = None
    """n: each image is embedded in n x n windows that overlap by half; center: its centred square
    takes its place, outside of which nothing is trained on or scored; None is the whole image."""

    @property
    def joined_windows(self) -> int | None:
        """n where an image has n x n windows, whose predictions are joined."""
        return None if self.windows == "center" else self.windows

    def shown(self, test: Arrays) -> Mapping[str, NDArray[Any]]:
        """Return what pages show of test images; they show whole images, and no centred squares."""
        return {} if self.windows == "center" else kept_of(test)


class PathSettings(MapSettings):
    """Which strengths of a head are tried, and on what one of them is chosen."""

    log10_strength: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of the strength, and the number of values: of the shrinkage (0 to 1) of
    a discriminant, of the penalty per pixel of a ridge regression."""
    held_out: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of train images on which one of several strengths is chosen without a val split."""

    @model_validator(mode="after")
    def _holds_out_images_for_a_choice(self) -> "PathSettings":
        first, last, count = self.log10_strength
        if last < first:
            raise ValueError(f"log10_strength must ascend; got {list(self.log10_strength)!r}")
        if (count > 1) != (self.held_out is not None):
            raise ValueError(
                "'held_out' goes with several strengths, of which one is chosen on held-out train "
                f"images; got {self.held_out!r} with {count}"
            )
        return self


class WindowSettings(PathSettings, WindowedMapSettings):
    """The same, of whole images or of windows."""


@dataclass(frozen=True)
class StrengthPath:
    """The strengths of a path of heads, as plain data."""

    first: float
    last: float
    count: int
    """The strengths are 10^first to 10^last, `count` of them."""

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Self:
        """Return the path from an accumulator's settings, which can hold further ones."""
        return cls(**{field.name: settings[field.name] for field in fields(cls)})

    @property
    def strengths(self) -> list[float]:
        return [float(value) for value in 10.0 ** np.linspace(self.first, self.last, self.count)]


def squashed(backbone: BackboneSpec, settings: MapSettings) -> BackboneSpec:
    """Return the backbone with maps as output, of whole images squashed to a square.

    Targets then follow from the mask at its own size; see `bob.numerics.dense.cells`.
    NotApplicableError where the backbone's loader has no maps.
    """
    changes = {"crop_mode": "squash", "crop_pct": 1.0}
    size = {} if settings.input_px is None else {"input_px": settings.input_px}
    variant = backbone.variant(
        output=Output(layers=settings.layers, tokens="grid"),
        preprocessing=backbone.preprocessing.model_copy(update={**changes, **size}),
    )
    if problem := variant.problem():
        raise NotApplicableError(
            f"needs maps of patches; backbone {backbone.name!r}: {problem}.", subject="backbone"
        )
    return variant


def sets_to_test(dataset: Dataset) -> list[str]:
    """Return the names of the test split and of its shifts with the same classes."""
    return ["test", *(name for name, shift in dataset.shifts.items() if shift.kind == "shift")]


def fitted_and_held_out(share: float | None, dataset: Dataset) -> tuple[ImageSet, ImageSet | None]:
    """Return the train images to fit, and those to choose a strength on.

    The latter are `share` of the train images, or the val split where there is one; None where
    nothing is to be chosen. NotApplicableError where no train image can be held out.
    """
    if share is None:
        return ImageSet("train"), None
    if "val" in dataset.splits:
        return ImageSet("train"), ImageSet("val")
    fitted, held_out = (
        ImageSet("train", part=HoldOut(share, HELD_OUT_SEED, held)) for held in (False, True)
    )
    try:
        held_out.open(dataset)
    except DatasetError as error:
        raise NotApplicableError(
            f"needs train images to hold out; dataset {dataset.name!r} has "
            f"{len(dataset.splits['train'])} that cannot be divided."
        ) from error
    return fitted, held_out


def path_needs(
    variant: BackboneSpec,
    dataset: Dataset,
    share: float | None,
    sums: AccumulatorSpec,
    scored: Callable[[bool], AccumulatorSpec],
    windows: Windows | None = None,
) -> list[StatisticsNeed]:
    """Return the needs of heads that are solved from sums, and of which one is chosen.

    `sums` of the images to fit; and of the held-out images, which are `share` of train, the sums
    and `scored(True)`, the scores of every strength; then `scored(False)` of each test set. All are
    of whole images, or of `windows` of each.
    NotApplicableError where no train image can be held out.
    """
    fitted, held_out = fitted_and_held_out(share, dataset)
    needs = [StatisticsNeed(variant, replace(fitted, windows=windows), sums)]
    if held_out is not None:
        held_out = replace(held_out, windows=windows)
        needs.append(StatisticsNeed(variant, held_out, sums))
        needs.append(StatisticsNeed(variant, held_out, scored(True), after=(needs[0],)))
    after = tuple(needs)
    return needs + [
        StatisticsNeed(variant, ImageSet(name, windows=windows), scored(False), after=after)
        for name in sets_to_test(dataset)
    ]


@dataclass(frozen=True, eq=False)
class PathStatistics:
    """The statistics of the needs of `path_needs`."""

    sums: tuple[Arrays, ...]
    """Those of the images to fit, and of the held-out ones."""
    held_out: Arrays | None
    """Scores of every strength on held-out images; None where nothing is chosen."""
    tests: Mapping[str, Arrays]
    """Test set → scores of the chosen strength; `test` is the first."""


def path_statistics(dataset: Dataset, needs: Needs, inputs: Inputs) -> PathStatistics:
    """Read the statistics of the needs of `path_needs`."""
    sums: list[Arrays] = []
    held_out, tests = None, {}
    for need in needs:
        assert isinstance(need, StatisticsNeed)
        statistics = inputs.statistics(need)
        if not need.after:
            sums.append(statistics)
        elif need.images.whole.name in sets_to_test(dataset):
            tests[need.images.split] = statistics
        else:
            held_out = statistics
    return PathStatistics(tuple(sums), held_out, tests)


def sums_and_strengths(
    path: StrengthPath, every_strength: bool, earlier: Earlier, curve: Callable[[Arrays], Curve]
) -> tuple[Arrays, list[float]]:
    """Return the sums from which the heads of a path are solved, and their strengths.

    The heads of every strength are solved from the sums of the images to fit; that of the chosen
    one from those of all train images. `earlier` are the statistics of the needs of `path_needs` on
    which the accumulator depends, and `curve` gives the held-out score of each strength.
    """
    sums, *held_out = earlier()
    if every_strength or not held_out:
        return sums, path.strengths
    of_held_out, scores = held_out
    return add_arrays([sums, of_held_out]), [path.strengths[best_strength(curve(scores))]]


def best_strength(curve: Curve) -> int:
    """Return the position of the highest score of a path, the strongest of equals."""
    return max(range(len(curve)), key=lambda s: (curve[s], s))


def choice_detail(
    path: StrengthPath,
    measure: str,
    held_out: ScoresT | None,
    curve: Callable[[ScoresT], Curve],
) -> dict[str, Any]:
    """Return which strength was chosen, and how, as JSON-ready values.

    `held_out` are scores of the strengths on M held-out images, its length; None where nothing was
    chosen. `curve` gives the measure of each strength.
    """
    if held_out is None:
        return {"strength": path.strengths[0]}
    scores = curve(held_out)
    chosen = best_strength(scores)
    return {
        "strength": path.strengths[chosen],
        "strength_at_edge": chosen in (0, path.count - 1),
        f"held_out_{measure}": scores[chosen],
        "held_out_curve": list(scores),
        "held_out_images": len(held_out),
    }
