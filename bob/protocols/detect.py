"""Object detection with linear heads that are solved from sums of one pass over the images.

Every image passes the backbone once: sums over the cells of the images to fit; sums over held-out
images and, for each strength of the heads, their detections; then the test images with the heads of
the chosen strength, solved on all train images. No feature map is stored.

The heads are those of FCOS (Tian et al. 2019, arXiv:1904.01355) on one map, without its layers: a
cell whose centre is inside a box has the class of the box, and predicts the distances to its edges;
of several boxes, the smallest. Both are ridge regressions on the cell's features (Maiettini et al.
2018, arXiv:1803.08740, solve the heads of a detector by kernel ridge regression): of the score of
each class, which is the centreness of the cell in its box and 0 without one; and of the logarithms
of distances, of cells with a box, weighted by their centreness. Differs from published detectors on
frozen backbones in the following points:

- nothing is trained by descent: no pyramid of scales, no layers between backbone and heads, and no
  augmentation; scores are far below theirs, and compare backbones with each other only;
- the score of a class is regressed on centreness, by which FCOS multiplies scores, and which is
  squared here: it lets detections near the middle of an object win;
- the whole image is squashed to one size.

Detections are scored as COCO's evaluation does it (pycocotools), with an interval over images.
Crowds and difficult objects are neither right nor wrong to find. `box_ap_voc07` is VOC 2007's
evaluation, where a detection that overlaps most with an object that is found already is wrong, also
if it overlaps another one enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bob.datasets.dataset import Dataset
from bob.features.shard import Arrays
from bob.numerics.arrays import Bools
from bob.outcomes import BoxMatches
from bob.protocols.box_statistics import (
    PREDICTORS,
    PredictorMatches,
    average_precisions,
    known_classes,
    matches_spec,
    require_boxes,
    sums_spec,
)
from bob.protocols.caveats import absent_classes
from bob.protocols.dense import (
    DENSE_KINDS,
    PathSettings,
    StrengthPath,
    choice_detail,
    path_needs,
    path_statistics,
    squashed,
)
from bob.protocols.kept_images import kept_of
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec


@dataclass(frozen=True, eq=False)
class DetectProblem:
    """Matched detections of the test sets, and of held-out images at every strength."""

    held_out: PredictorMatches | None
    tests: Mapping[str, PredictorMatches]
    """Test set → its matches; `test` is the first."""
    classes: tuple[str, ...]
    known: Bools
    """(C,) classes that cells of train images have."""
    grid: list[int]
    """Rows and columns of the map."""
    shown: Arrays
    """Detections of few test images."""


class Detect(Protocol[PathSettings, DetectProblem]):
    """The strength with the highest held-out average precision, refit on all train images."""

    name = "detect"
    settings = PathSettings
    kinds = DENSE_KINDS
    outcomes = (BoxMatches,)

    def needs(self, settings: PathSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        require_boxes(dataset)
        classes, path = len(dataset.classes), StrengthPath(*settings.log10_strength)
        return path_needs(
            squashed(backbone, settings),
            dataset,
            settings.held_out,
            sums_spec(classes),
            lambda every: matches_spec(classes, path, every_strength=every),
        )

    def build(
        self,
        settings: PathSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> DetectProblem:
        statistics = path_statistics(dataset, needs, inputs)
        held_out = statistics.held_out
        return DetectProblem(
            None if held_out is None else PredictorMatches(held_out),
            {name: PredictorMatches(of) for name, of in statistics.tests.items()},
            dataset.classes,
            np.any([known_classes(sums) for sums in statistics.sums], axis=0),
            statistics.tests["test"]["grid"].tolist(),
            kept_of(statistics.tests["test"]),
        )

    def solve(self, problem: DetectProblem, settings: PathSettings, device: str) -> Result:
        parts = []
        for predictor, name in enumerate(PREDICTORS):
            bound = "" if name == "head" else name
            outcome = problem.tests["test"].of(predictor)
            parts.append(ResultPart(outcome, bound, facets={"bound": bound} if bound else {}))
        parts += [
            ResultPart(matches.of(0), name, facets={"shift": name})
            for name, matches in problem.tests.items()
            if name != "test"
        ]
        path = StrengthPath(*settings.log10_strength)
        choice = choice_detail(path, "box_ap", problem.held_out, average_precisions)
        lacking = "train box that counts and holds the centre of a cell"
        caveats = absent_classes(problem.known, problem.classes, lacking)
        detail = {"grid": problem.grid, **choice}
        return Result(tuple(parts), detail, caveats, shown=problem.shown)


PROTOCOL = Detect()
