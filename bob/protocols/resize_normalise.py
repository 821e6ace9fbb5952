"""The preprocessing grid: one backbone fed with images of other sizes and normalisations.

After Corley et al. 2023 (arXiv:2305.13456), who find that an ImageNet ResNet-50 moves from 65.6 %
to 91.2 % on EuroSAT (RGB) between the worst and the best size and normalisation: k-NN, k = 5,
Euclidean distance of raw features. Here also with cosine, and the linear probe.

Differs in these points:
- the reference of every row is the backbone's own preprocessing, and gains over it are paired image
  by image;
- the crop (its share and mode) and the interpolation remain those of the backbone, where the paper
  squashes the image to the size;
- no point of the grid is chosen, which would be a choice on test. The headline is the backbone's
  own preprocessing.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from bob.datasets.dataset import Dataset
from bob.outcomes import ClassPredictions, PairedPreprocessing
from bob.protocols import knn, linear
from bob.protocols.classification import (
    CLASS_KINDS,
    ClassificationProblem,
    classification_needs,
    classification_problem,
    features_by_split,
    held_out_of,
    samples_held_out,
)
from bob.protocols.knn import KnnSettings
from bob.protocols.linear import LinearSettings
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec, Preprocessing
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

Normalised = Literal["own", "none", "imagenet", "half"]
Size = int | Literal["own"]
"""Pixels, or the backbone's own."""
RGB = tuple[float, float, float]
CONSTANTS: dict[Normalised, tuple[RGB, RGB] | None] = {
    "own": None,
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation per channel, of pixels in [0, 1]: torchvision's of ImageNet,
Inception's halves."""


class ResizeNormaliseSettings(Closed):
    """Settings of the grid of input sizes and normalisations."""

    input_px: tuple[Count, ...] = Field(strict=False)
    """Sizes besides that of the backbone."""
    normalisation: tuple[Normalised, ...] = Field(strict=False, min_length=1)
    """`own` is the backbone's; `none` leaves pixels in [0, 1]; `imagenet` and `half` subtract and
    divide by those constants."""
    k: Count
    """Number of neighbours that vote."""
    probe: LinearSettings | None = None
    """Settings of the linear probe beside k-NN; None omits it."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "ResizeNormaliseSettings":
        for name, values in (("input_px", self.input_px), ("normalisation", self.normalisation)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must differ; got {list(values)!r}")
        if "own" not in self.normalisation:
            raise ValueError(
                "normalisation must hold 'own', against which the others are compared; got "
                f"{list(self.normalisation)!r}"
            )
        return self

    def grid(self) -> list[tuple[Size, Normalised]]:
        """Return all sizes with all normalisations, the backbone's own first."""
        sizes: list[Size] = ["own", *self.input_px]
        pairs = [(size, normalisation) for size in sizes for normalisation in self.normalisation]
        return sorted(pairs, key=lambda pair: pair != ("own", "own"))


@dataclass(frozen=True, eq=False)
class GridPoint:
    """A backbone's features at one size and normalisation, or why there are none."""

    input_px: Size
    normalisation: str
    problem: ClassificationProblem | None
    undefined: str | None = None


class PreprocessingGrid(Protocol[ResizeNormaliseSettings, Iterable[GridPoint]]):
    """k-NN and the linear probe at every point of the grid."""

    name = "resize_normalise"
    settings = ResizeNormaliseSettings
    kinds = CLASS_KINDS
    outcomes = (ClassPredictions, PairedPreprocessing)

    def needs(
        self, settings: ResizeNormaliseSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        """Return every split at every point; a backbone may refuse sizes other than its own."""
        return [
            dataclasses.replace(need, optional=size != "own")
            for size, normalisation in settings.grid()
            for need in classification_needs(dataset, _variant(backbone, size, normalisation))
        ]

    def build(
        self,
        settings: ResizeNormaliseSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> Iterator[GridPoint]:
        """Yield the points of the grid, one in memory at a time, the backbone's own first."""
        own, held_out = needs[0].backbone, held_out_of(settings)
        for size, normalisation in settings.grid():
            variant = _variant(own, size, normalisation)
            if of_variant := [need for need in needs if need.backbone == variant]:
                features = features_by_split(of_variant, inputs)
                problem = classification_problem(dataset, features, held_out, seed)
                yield GridPoint(size, normalisation, problem)
            else:
                reason = f"the backbone does not accept inputs of {size} px"
                yield GridPoint(size, normalisation, None, reason)

    def solve(
        self, problem: Iterable[GridPoint], settings: ResizeNormaliseSettings, device: str
    ) -> Result:
        parts: list[ResultPart] = []
        caveats: dict[str, None] = {}
        own: dict[str, ClassPredictions] = {}
        for point in problem:
            outcomes: dict[str, ClassPredictions | None] = dict.fromkeys(own)
            if point.problem is not None:
                results = _results(settings, point.problem, device)
                outcomes = {head: result.outcome for head, result in results.items()}
                caveats |= dict.fromkeys(_caveats(point, results))
            own = own or {
                head: outcome for head, outcome in outcomes.items() if outcome is not None
            }
            for head, outcome in outcomes.items():
                parts += _parts(head, outcome, own[head], point)
        count = len({part.suffix for part in parts})
        headline = ResultPart(parts[0].outcome)
        return Result((headline, *parts), {"settings": count}, tuple(caveats))

    def uses_seed(self, settings: ResizeNormaliseSettings, dataset: Dataset) -> bool:
        return samples_held_out(settings, dataset)


def _variant(backbone: BackboneSpec, size: Size, normalisation: Normalised) -> BackboneSpec:
    """Return the backbone with other preprocessing.

    With its own size and normalisation it is unchanged, so that it shares the features of other
    tasks.
    """
    changes: dict[str, object] = {} if isinstance(size, str) else {"input_px": size}
    if constants := CONSTANTS[normalisation]:
        changes |= {"mean": constants[0], "std": constants[1]}
    if not changes:
        return backbone
    values = {**backbone.preprocessing.model_dump(), **changes}
    return backbone.variant(preprocessing=Preprocessing.model_validate(values))


def _results(
    settings: ResizeNormaliseSettings, problem: ClassificationProblem, device: str
) -> dict[str, Result]:
    """Return the result of every head at one point."""
    results: dict[str, Result] = {}
    for metric in ("euclidean", "cosine"):
        vote = KnnSettings(k=(settings.k,), metric=metric, vote="majority")
        results[f"knn_{metric}"] = knn.PROTOCOL.solve(problem, vote, device)
    if settings.probe is not None:
        results["linear"] = linear.PROTOCOL.solve(problem, settings.probe, device)
    return results


def _caveats(point: GridPoint, results: Mapping[str, Result]) -> Iterator[str]:
    """Yield the caveats of one point, with its place in the grid."""
    for head, result in results.items():
        for caveat in result.caveats:
            yield f"{head} at size {point.input_px}, normalisation {point.normalisation}: {caveat}"


def _parts(
    head: str, outcome: ClassPredictions | None, own: ClassPredictions, point: GridPoint
) -> Iterator[ResultPart]:
    """Yield the accuracy at a point, and its gain over the backbone's own preprocessing."""
    size = point.input_px if isinstance(point.input_px, str) else f"{point.input_px}px"
    suffix = f"{head}_{size}_{point.normalisation}"
    facets: dict[str, str | int | float] = {
        "head": head,
        "input_px": point.input_px,
        "normalisation": point.normalisation,
    }
    yield ResultPart(outcome, suffix, ("top1",), facets, undefined=point.undefined)
    if outcome is not own:
        gain = None
        if outcome is not None:
            gain = PairedPreprocessing(own.rank == 0, outcome.rank == 0)
        yield ResultPart(gain, suffix, ("top1_gain",), facets, undefined=point.undefined)


PROTOCOL = PreprocessingGrid()
