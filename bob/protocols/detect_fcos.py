"""Object detection with a trained head on frozen maps: FCOS as torchvision implements it.

Maps of train and test images are stored once, as features of other tasks are, and the head is
trained on those of train. The recipe, and the head but for its first convolution, are the same for
all backbones; see `bob.numerics.dense.fcos`. *Battle of the Backbones* (arXiv:2310.19909) has one
detector for CNNs and another for transformers, so that families differ by more than the backbone.
`detect` solves linear heads from sums instead, in seconds and without maps in the store.

Differs from published detectors on frozen backbones in the following points:

- maps are computed once: no augmentation, and the whole image is squashed to one size;
- of a large train split, `train_images` drawn at random are used: the store holds 4 h w D bytes for
  each of them, and for each test image. A cell with a set of images whose maps take more than
  `max_gib` is not applicable;
- the head is small, and is trained for minutes of a processor.

Ignored objects are left out of the targets, so that their cells have none, as in torchvision's
reference training; in the scores, they are neither right nor wrong to find. Scores are those of
`detect`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bob.datasets.boxes import ImageBoxes
from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet, OrderedBlock
from bob.errors import UndefinedError
from bob.features.store import Features
from bob.numerics.arrays import Floats
from bob.numerics.dense.detections import Detections
from bob.outcomes import BoxMatches
from bob.protocols.box_statistics import NO_OBJECTS, boxes_of, outcome_of, require_boxes
from bob.protocols.caveats import Caveats, absent_classes
from bob.protocols.dense import DENSE_KINDS, sets_to_test
from bob.protocols.kept_detections import KeptDetections
from bob.protocols.kept_images import kept_of
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.protocols.stored_maps import (
    StoredMaps,
    StoredMapSettings,
    map_needs,
    maps_by_set,
    require_images,
)
from bob.specs import BackboneSpec
from bob.specs.numbers import Count

if TYPE_CHECKING:  # torch is imported when a head is trained
    from bob.numerics.dense.fcos import MapDetector

SAMPLE_SEED = 0
"""Orders the train images of which the first are used."""
BATCH = 16
"""Test images whose detections are computed at once."""


class DetectFcosSettings(StoredMapSettings):
    """Settings of the head and of its training; the same for all backbones."""

    train_images: Count
    """Most train images whose maps are stored."""
    cells: Count
    """Cells of a side of the finest of the `levels`; each further level has half as many."""
    levels: Count
    channels: Annotated[int, Field(ge=32, multiple_of=32)]
    """Width of the pyramid and of the head."""
    convolutions: Count
    """3 x 3 convolutions of each of the head's two branches."""
    epochs: Count
    batch: Count
    learning_rate: Annotated[float, Field(gt=0)]
    """The highest of one cycle of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)]


@dataclass(frozen=True, eq=False)
class MapsWithBoxes:
    """The maps of N images, as they lie in the store, and the images' boxes."""

    maps: Features
    boxes: Sequence[ImageBoxes]
    split: Split

    @classmethod
    def of(cls, images: StoredMaps) -> "MapsWithBoxes":
        """Return the maps with the boxes of their images."""
        maps, read = images.features, boxes_of(images.split).read
        return cls(maps, [read(position) for position in maps.positions.tolist()], images.split)

    def __len__(self) -> int:
        """Return N."""
        return len(self.boxes)

    def shown(self, found: Sequence[Detections], outcome: BoxMatches) -> Mapping[str, NDArray[Any]]:
        """Return the detections of few images, of those of all."""
        kept = KeptDetections.of(self.split)
        statistics = kept.start()
        for i, position in enumerate(self.maps.positions.tolist()):
            kept.add(statistics, position, found[i], outcome.take(np.array([i])))
        return kept_of(statistics)


@dataclass(frozen=True, eq=False)
class DetectFcosProblem:
    """Maps and boxes of train and of the test sets."""

    classes: tuple[str, ...]
    train: MapsWithBoxes
    tests: Mapping[str, MapsWithBoxes]
    """Test set → its images; `test` is the first."""
    seed: int


class DetectFcos(Protocol[DetectFcosSettings, DetectFcosProblem]):
    """A head trained by one recipe, without a choice."""

    name = "detect_fcos"
    settings = DetectFcosSettings
    kinds = DENSE_KINDS
    outcomes = (BoxMatches,)

    def uses_seed(self, settings: DetectFcosSettings, dataset: Dataset) -> bool:
        return True

    def needs(
        self, settings: DetectFcosSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_boxes(dataset)
        sets = [train_set(settings, dataset), *map(ImageSet, sets_to_test(dataset))]
        return map_needs(settings, backbone, sets)

    def build(
        self,
        settings: DetectFcosSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> DetectFcosProblem:
        maps = maps_by_set(needs, dataset, inputs)
        images = {name: MapsWithBoxes.of(of) for name, of in maps.items()}
        return DetectFcosProblem(dataset.classes, images.pop("train"), images, seed)

    def solve(
        self, problem: DetectFcosProblem, settings: DetectFcosSettings, device: str
    ) -> Result:
        train, classes = problem.train, len(problem.classes)
        require_images({"train": train, **problem.tests})
        detector = trained_detector(problem, settings, device)
        parts: list[ResultPart] = []
        shown: Mapping[str, NDArray[Any]] = {}
        for name, images in problem.tests.items():
            found = [of for _, _, of in detected(detector, images)]
            outcome = outcome_of(found, images.boxes, classes)
            is_shift = name != "test"
            shown = shown if is_shift else images.shown(found, outcome)
            facets = {"shift": name} if is_shift else {}
            parts.append(ResultPart(outcome, name if is_shift else "", facets=facets))
        grid = [int(side) for side in train.maps.shape[:2]]
        detail = {"grid": grid, "train_images": len(train)}
        return Result(tuple(parts), detail, unlearnt_classes(problem), shown=shown)


def trained_detector(
    problem: DetectFcosProblem, settings: DetectFcosSettings, device: str
) -> "MapDetector":
    """Return the head that is trained on the train images; UndefinedError without objects."""
    # slow to import: command lines read protocols without it
    from bob.numerics.dense.fcos import FcosRecipe, target_of, train_fcos

    recipe = FcosRecipe(**settings.model_dump(include={*FcosRecipe.__annotations__}))
    train = problem.train
    targets = [
        target_of(of.xyxy[~of.ignored], of.labels[~of.ignored], of.size, recipe)
        for of in train.boxes
    ]
    if not any(len(target["labels"]) for target in targets):
        raise UndefinedError(NO_OBJECTS)
    classes = len(problem.classes)
    return train_fcos(train.maps.take, targets, classes, recipe, problem.seed, device)


def unlearnt_classes(problem: DetectFcosProblem) -> Caveats:
    """Return a caveat where no train box that counts is of some of the classes."""
    learnt = [label for of in problem.train.boxes for label in of.labels[~of.ignored].tolist()]
    present = np.isin(np.arange(len(problem.classes)), learnt)
    return absent_classes(present, problem.classes, "train box that counts")


def detected(
    detector: "MapDetector", images: MapsWithBoxes
) -> Iterator[tuple[int, Floats, Detections]]:
    """Yield each image's number among those that could be read, its map, and its detections."""
    from bob.numerics.dense.fcos import detections_of

    number = 0
    for _, maps in images.maps.batches(BATCH):
        sizes = [boxes.size for boxes in images.boxes[number : number + len(maps)]]
        for grid, found in zip(maps, detections_of(detector, maps, sizes), strict=True):
            yield number, grid, found
            number += 1


def train_set(settings: DetectFcosSettings, dataset: Dataset) -> ImageSet:
    """Return the train images whose maps are stored."""
    if len(dataset.splits["train"]) <= settings.train_images:
        return ImageSet("train")
    first = OrderedBlock("random", SAMPLE_SEED, 0, settings.train_images)
    return ImageSet("train", block=first)


PROTOCOL = DetectFcos()
