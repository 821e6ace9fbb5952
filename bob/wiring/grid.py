"""The preprocessing grid: train and test images as variants of one backbone see them."""

import dataclasses
from collections.abc import Iterator

from bob.datasets.dataset import Dataset
from bob.protocols.protocol import Result
from bob.protocols.resize_normalise import Setting, resize_normalise
from bob.specs import BackboneSpec, Preprocessing, TaskSpec
from bob.specs.settings import ResizeNormaliseSettings
from bob.specs.settings.resize_normalise import Normalised
from bob.wiring.classification import by_split, classification_needs, draws, held_out_by, problem
from bob.wiring.wired import FeaturesOf, Need, Needs, Wired

Size = int | str
"""Pixels, or `own`."""
CONSTANTS: dict[
    Normalised, tuple[tuple[float, float, float], tuple[float, float, float]] | None
] = {
    "own": None,
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation per channel, of pixels in [0, 1]: torchvision's of ImageNet, Inception's halves."""


def grid_needs(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> list[Need]:
    """Every split at every setting, the backbone's own first. A backbone may refuse sizes other than its own."""
    return [
        dataclasses.replace(need, optional=size != "own")
        for size, normalisation in _settings_of(task)
        for need in classification_needs(task, dataset, _variant(backbone, size, normalisation))
    ]


def solve_grid(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    """The protocol's answer; settings whose features the backbone refuses to make are undefined."""
    assert isinstance(task.settings, ResizeNormaliseSettings)
    return resize_normalise(task.settings, _grid(task, dataset, needs, features_of, seed), device)


def _grid(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int
) -> Iterator[Setting]:
    for size, normalisation in _settings_of(task):
        fed_so = _variant(needs[0].backbone, size, normalisation)
        if mine := [need for need in needs if need.backbone == fed_so]:
            yield Setting(
                size,
                normalisation,
                problem(dataset, by_split(mine, features_of), held_out_by(task), seed),
            )
        else:
            yield Setting(size, normalisation, None, f"the backbone cannot be fed {size} px")


def _settings_of(task: TaskSpec) -> list[tuple[Size, Normalised]]:
    """All sizes with all normalisations, the backbone's own first."""
    settings = task.settings
    assert isinstance(settings, ResizeNormaliseSettings)
    sizes: list[Size] = ["own", *settings.input_px]
    pairs = [(size, normalisation) for size in sizes for normalisation in settings.normalisation]
    return sorted(pairs, key=lambda pair: pair != ("own", "own"))


def _variant(backbone: BackboneSpec, size: Size, normalisation: Normalised) -> BackboneSpec:
    """The backbone fed so; as it is where everything is its own, so that its rows are those of other tasks."""
    changes: dict[str, object] = {} if isinstance(size, str) else {"input_px": size}
    if constants := CONSTANTS[normalisation]:
        changes |= {"mean": constants[0], "std": constants[1]}
    return (
        backbone.variant(
            preprocessing=Preprocessing.model_validate(
                {**backbone.preprocessing.model_dump(), **changes}
            )
        )
        if changes
        else backbone
    )


RESIZE_NORMALISE = Wired(grid_needs, solve_grid, draws)
