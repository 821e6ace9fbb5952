"""Zero-shot classification: an image is assigned to the class with the closest prompts.

As CLIP (Radford et al. 2021, arXiv:2103.00020), open_clip's build_zero_shot_classifier and
CLIP_benchmark do it: a class is the mean of its prompts' normalised embeddings, normalised again;
scores are cosines, times a scale for the softmax. No train image is read.

Prompts are open_clip's copies of OpenAI's (notebook Prompt_Engineering_for_ImageNet): the 80 for
ImageNet and the 7 that its authors report to be nearly as good. Classes named by WordNet ids of
ImageNet get open_clip's class names, which are OpenAI's curated ones; other class names are used
with blanks for underscores.

Differs in one point: the scale is the task's and not the checkpoint's (CLIP_benchmark, too, uses
100 for all), so that the probabilities of backbones with another scale, or with SigLIP's bias, are
not those that they were trained for. Accuracy does not depend on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.datasets.class_names import spoken_names
from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError
from bob.numerics.arrays import Floats, Ints
from bob.outcomes import ClassPredictions
from bob.protocols.caveats import features_checked
from bob.protocols.classification import CLASS_KINDS, answers_of, require_single_labels
from bob.protocols.needs import FeatureNeed, Inputs, Needs, TextNeed, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import EMBEDDING, BackboneSpec
from bob.specs.yaml import Closed

Templates = Literal["openai", "simple"] | tuple[str, ...]


class ZeroshotSettings(Closed):
    """Settings of zero-shot classification."""

    templates: (
        Literal["openai", "simple"] | Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    )
    """OpenAI's 80 ImageNet prompts or its subset of 7, as open_clip ships them; or a list, with {}
    for the class name."""
    logit_scale: Annotated[float, Field(gt=0)]
    """Factor of cosines before the softmax. Accuracy does not depend on it."""

    @model_validator(mode="after")
    def _has_a_place_for_the_class_name(self) -> "ZeroshotSettings":
        templates = () if isinstance(self.templates, str) else self.templates
        if wrong := [template for template in templates if template.count("{}") != 1]:
            raise ValueError(
                f"each of templates must hold {{}} once, for the class name; got {wrong[0]!r}"
            )
        return self


@dataclass(frozen=True, eq=False)
class ZeroshotProblem:
    """Embedded images and prompts."""

    images: Floats
    """(N, D)"""
    texts: Floats
    """(C · T, D) embedded prompts, class by class."""
    y: Ints
    """(N,)"""
    classes: int


class ZeroShot(Protocol[ZeroshotSettings, ZeroshotProblem]):
    """Test images compared with the prompts of every class."""

    name = "zeroshot"
    settings = ZeroshotSettings
    kinds = CLASS_KINDS | {"image-text"}
    outcomes = (ClassPredictions,)

    def needs(self, settings: ZeroshotSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        require_splits(dataset, "test")
        require_single_labels(dataset)
        if len(dataset.classes) < 2:
            raise NotApplicableError(
                f"needs two class names; dataset {dataset.name!r} has {len(dataset.classes)}."
            )
        require_text_tower(backbone)  # before open_clip is imported, which takes 2 s
        names = spoken_names(dataset.classes)
        return both_towers(dataset, backbone, prompts(names, templates_of(settings.templates)))

    def build(
        self, settings: ZeroshotSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> ZeroshotProblem:
        images, texts = (
            inputs.features(need) for need in needs if isinstance(need, FeatureNeed | TextNeed)
        )
        y = dataset.splits["test"].y[images.positions]
        return ZeroshotProblem(images.rows, texts.rows, y, len(dataset.classes))

    def solve(self, problem: ZeroshotProblem, settings: ZeroshotSettings, device: str) -> Result:
        from bob.numerics.search.similarity import unit

        checked = features_checked(image=problem.images, text=problem.texts)
        classes = class_embeddings(problem.texts, problem.classes)
        logits = settings.logit_scale * (unit(problem.images) @ classes.T)
        detail = {"prompts_per_class": len(problem.texts) // problem.classes}
        outcome = ClassPredictions.from_logits(logits, problem.y)
        return Result((ResultPart(outcome),), detail, checked, {"": answers_of(outcome)})


def both_towers(
    dataset: Dataset, backbone: BackboneSpec, texts: tuple[str, ...]
) -> list[FeatureNeed | TextNeed]:
    """Return test images and texts in the space that both towers share."""
    require_text_tower(backbone)
    towers = backbone.variant(output=EMBEDDING)
    return [FeatureNeed(towers, ImageSet("test")), TextNeed(towers, "texts", texts)]


def require_text_tower(backbone: BackboneSpec) -> None:
    """Raise NotApplicableError for a backbone of images alone."""
    if not backbone.has_text:
        raise NotApplicableError("needs a text tower.", subject="backbone")


def class_embeddings(texts: Floats, classes: int) -> Floats:
    """Return class embeddings (C, D) of length 1 from embeddings of prompts (C · T, D)."""
    from bob.numerics.search.similarity import unit

    return unit(unit(texts).reshape(classes, -1, texts.shape[1]).mean(1))


def templates_of(chosen: Templates) -> list[str]:
    """Return templates with {} for the class name."""
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

    if isinstance(chosen, tuple):
        return list(chosen)
    templates = OPENAI_IMAGENET_TEMPLATES if chosen == "openai" else SIMPLE_IMAGENET_TEMPLATES
    return [template("{}") for template in templates]


def prompts(names: Sequence[str], templates: Sequence[str]) -> tuple[str, ...]:
    """Return C · T sentences, class by class."""
    return tuple(template.replace("{}", name) for name in names for template in templates)


PROTOCOL = ZeroShot()
