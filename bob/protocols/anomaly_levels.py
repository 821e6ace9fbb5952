"""Anomaly detection by Gaussians at several depths of a backbone, as Rippel et al. do.

At each of the last layers, the mean over positions is a row, and the normal train rows have a
Gaussian with the covariance of Ledoit & Wolf. An image is as anomalous as the mean over layers of
its Mahalanobis distances, not squared (Rippel, Mertens & Merhof 2021, arXiv:2005.14140). Defects
that the last layer no longer shows can stand out in an earlier one; the score of each layer is
reported too. Nothing is chosen, on normal images or others.

Differs from the paper in these points:
- images are cropped as the backbone's preprocessing says, not squashed to its input;
- layers are those that the backbone's library counts: the five stages of an EfficientNet, where the
  paper reads nine of its blocks, and the last blocks of a transformer, after the final norm;
- normal train images are used all at once, where the paper averages over five folds of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError, UndefinedError
from bob.numerics.arrays import Bools, Doubles, Floats
from bob.outcomes import OodScores
from bob.protocols.anomaly import DOES_NOT_VARY, normal_classes
from bob.protocols.caveats import Caveats, features_checked
from bob.protocols.classification import CLASS_KINDS, features_by_split, require_single_labels
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.output import Output
from bob.specs.yaml import Closed


class AnomalyLevelsSettings(Closed):
    """Settings of anomaly detection at several depths."""

    levels: Count
    """Largest number of layers that are read, from the last one back."""


@dataclass(frozen=True, eq=False)
class Level:
    """Features of one layer."""

    normal_x: Floats
    """(N, D) rows of normal train images."""
    test_x: Floats
    """(Q, D)"""


@dataclass(frozen=True, eq=False)
class AnomalyLevelsProblem:
    """Features of every layer, and which test images are normal."""

    levels: Mapping[int, Level]
    """By layer, counted from the end: -1 is the last, which is always there."""
    inside: Bools
    """(Q,) which test images are normal."""
    normal: tuple[str, ...]
    """Names of the normal classes."""


class AnomalyLevels(Protocol[AnomalyLevelsSettings, AnomalyLevelsProblem]):
    """The mean over layers of distances to the normal train rows."""

    name = "anomaly_levels"
    settings = AnomalyLevelsSettings
    kinds = CLASS_KINDS
    outcomes = (OodScores,)

    def needs(
        self, settings: AnomalyLevelsSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        """Return train and test at each layer; a backbone may have fewer than are wanted."""
        require_splits(dataset, "train", "test")
        require_single_labels(dataset)
        normal_classes(dataset)
        return [
            FeatureNeed(_at_layer(backbone, layer), ImageSet(split), optional=layer != -1)
            for layer in range(-1, -settings.levels - 1, -1)
            for split in ("train", "test")
        ]

    def build(
        self,
        settings: AnomalyLevelsSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> AnomalyLevelsProblem:
        normal, levels, inside = normal_classes(dataset), {}, np.empty(0, bool)
        layers = dict.fromkeys(need.backbone for need in needs)
        for layer, variant in zip(range(-1, -len(layers) - 1, -1), layers, strict=True):
            of_layer = [need for need in needs if need.backbone == variant]
            features = features_by_split(of_layer, inputs)
            train, test = features["train"], features["test"]
            is_normal = np.isin(dataset.splits["train"].y[train.positions], normal)
            inside = np.isin(dataset.splits["test"].y[test.positions], normal)
            levels[layer] = Level(train.rows[is_normal], test.rows)
        names = tuple(dataset.classes[c] for c in normal)
        return AnomalyLevelsProblem(levels, inside, names)

    def solve(
        self, problem: AnomalyLevelsProblem, settings: AnomalyLevelsSettings, device: str
    ) -> Result:
        checked: Caveats = ()
        distances: dict[int, Doubles | None] = {}
        for layer, level in problem.levels.items():
            if not len(level.normal_x):
                raise UndefinedError("none of the normal train images could be read")
            checked += features_checked(train=level.normal_x, test=level.test_x)
            distances[layer] = mahalanobis(level, device)
        usable = [values for values in distances.values() if values is not None]
        total = np.mean(usable, axis=0) if usable else None
        parts = [_part(total, problem.inside, "", {"layers": len(usable)})]
        parts += _layer_parts(distances, problem.inside)
        detail = {
            "normal": list(problem.normal),
            "normal_train_images": len(problem.levels[-1].normal_x),
            "layers": [layer for layer, values in distances.items() if values is not None],
            "anomaly_share": float((~problem.inside).mean()),
        }
        return Result(tuple(parts), detail, tuple(dict.fromkeys(checked)))


def mahalanobis(level: Level, device: str) -> Doubles | None:
    """Return the distance (Q,) of each test row to the normal ones; None where these do not vary.

    Raw rows, as in the paper; distances do not depend on their scale.
    """
    from bob.numerics.ledoit_wolf import LedoitWolfGaussian

    gaussian = LedoitWolfGaussian(level.normal_x, device)
    return np.sqrt(gaussian.distances(level.test_x)) if gaussian.usable else None


def _at_layer(backbone: BackboneSpec, layer: int) -> BackboneSpec:
    """Return the backbone with one layer as output; NotApplicableError where its loader has none.

    Whether the architecture has the layer shows when it is loaded.
    """
    variant = backbone.variant(output=Output(layers=(layer,), pool="mean_patch"))
    if problem := variant.problem():
        raise NotApplicableError(
            f"needs single layers; backbone {backbone.name!r}: {problem}.", subject="backbone"
        )
    return variant


def _layer_parts(distances: Mapping[int, Doubles | None], inside: Bools) -> Iterator[ResultPart]:
    for layer, values in distances.items():
        yield _part(values, inside, f"layer{layer}", {"layer": layer})


def _part(
    distance: Doubles | None, inside: Bools, suffix: str, facets: dict[str, str | int | float]
) -> ResultPart:
    """Return the scores of distances (Q,): the headline with all metrics, a layer's AUROC."""
    outcome = None if distance is None else OodScores(-distance, inside)
    undefined = None if outcome else DOES_NOT_VARY
    return ResultPart(outcome, suffix, "ranking" if suffix else "all", facets, undefined=undefined)


PROTOCOL = AnomalyLevels()
