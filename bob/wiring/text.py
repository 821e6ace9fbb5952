"""Tasks that ask both towers of an image-text model: zero-shot classification and image-text retrieval."""

import numpy as np

from bob.datasets.class_names import class_list
from bob.datasets.dataset import Dataset
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.protocols.image_text import image_text
from bob.protocols.prompts import prompts, spoken, templates_of
from bob.protocols.protocol import Result
from bob.protocols.zeroshot import zeroshot
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.settings import ImageTextSettings, ZeroshotSettings
from bob.wiring.wired import FeaturesOf, Need, Needs, TextNeed, Wired, require_splits

IMAGENET = "imagenet_1k"
"""The list of class names that holds ImageNet's WordNet ids."""


def zeroshot_needs(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> Needs:
    """The test images and the prompts of every class."""
    settings = task.settings
    assert isinstance(settings, ZeroshotSettings)
    require_splits(task, dataset, "test")
    if dataset.splits["test"].labels is not None:
        raise NotApplicableError(
            f"task {task.name!r} needs one label per image; those of dataset {dataset.name!r} have several."
        )
    if len(dataset.classes) < 2:
        raise NotApplicableError(
            f"task {task.name!r} needs class names; dataset {dataset.name!r} has {len(dataset.classes)}."
        )
    names = spoken(
        dataset.classes, class_list(IMAGENET) if dataset.classes[0].startswith("n0") else ()
    )
    return _both_towers(task, dataset, backbone, prompts(names, templates_of(settings.templates)))


def image_text_needs(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> Needs:
    """The test images and all their captions."""
    require_splits(task, dataset, "test")
    captions = dataset.splits["test"].captions
    if captions is None:
        raise NotApplicableError(
            f"task {task.name!r} needs captions; dataset {dataset.name!r} has none."
        )
    return _both_towers(
        task, dataset, backbone, tuple(caption for several in captions for caption in several)
    )


def solve_zeroshot(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    settings = task.settings
    assert isinstance(settings, ZeroshotSettings)
    images, texts = _features(needs, features_of)
    return zeroshot(
        images.rows,
        texts.rows,
        dataset.splits["test"].y[images.positions],
        len(dataset.classes),
        settings.logit_scale,
    )


def solve_image_text(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    """Captions of images that could not be read are left out with them."""
    settings = task.settings
    assert isinstance(settings, ImageTextSettings)
    images, texts = _features(needs, features_of)
    counts = [len(several) for several in dataset.splits["test"].captions or ()]
    row_of = np.full(len(counts), -1)
    row_of[images.positions] = np.arange(len(images.positions))
    image_of = np.repeat(row_of, counts)
    return image_text(
        images.rows, texts.rows[image_of >= 0], image_of[image_of >= 0], settings.k, device
    )


def _both_towers(
    task: TaskSpec, dataset: Dataset, backbone: BackboneSpec, texts: tuple[str, ...]
) -> list[Need | TextNeed]:
    if not backbone.has_text:
        raise NotApplicableError(f"task {task.name!r} needs a text tower.", of="backbone")
    towers = backbone.variant(pooling="embedding")
    return [Need(towers, "test", dataset.splits["test"]), TextNeed(towers, "texts", texts)]


def _features(needs: Needs, features_of: FeaturesOf) -> tuple[Features, Features]:
    """Of the images, and of the texts."""
    images, texts = needs
    return features_of(images), features_of(texts)


ZEROSHOT = Wired(zeroshot_needs, solve_zeroshot, draws=lambda task, dataset: False)
IMAGE_TEXT = Wired(image_text_needs, solve_image_text, draws=lambda task, dataset: False)
