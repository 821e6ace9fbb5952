"""Image-text retrieval: captions find their image, and images one of their captions, by cosine.

R@k as for COCO and Flickr30k after Karpathy & Fei-Fei 2015 (arXiv:1412.2306) and in CLIP_benchmark:
the share of captions (of images) with their image (with at least one of their captions) among the
first k. All captions are used; an image may have any number of them.

Papers report COCO's 5,000 test images also as "1K": the mean over five folds of 1,000 images, each
with its own captions alone (VSE++, Faghri et al. 2018, arXiv:1707.05612, `evalrank(fold5=True)`).
Folds are consecutive images, as there; images beyond the last full fold are left out, and with
fewer than two folds there are no such scores. A query counts once in its fold, so that the mean
over queries is the mean over folds where these have equally many captions.

Differs in one point: tied items share their places, and scores are expected values over all orders
of these items, where topk leaves ties to the library. Nothing is excluded from a ranking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from bob.datasets.dataset import Dataset
from bob.errors import NotApplicableError
from bob.numerics.arrays import Floats, Ints
from bob.numerics.search.relevance import Labelled
from bob.outcomes import FirstPlaces, RecallSums, RetrievalResults, TopKResults
from bob.protocols.caveats import features_checked
from bob.protocols.classification import CLASS_KINDS
from bob.protocols.needs import FeatureNeed, Inputs, Needs, TextNeed, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.protocols.retrieval import retrieval_results, tie_caveats, top_k_results
from bob.protocols.zeroshot import both_towers
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from bob.numerics.search.rankings import RankedPositives

    Ranked = Mapping[str, list[RankedPositives]]
    """Direction → its rankings, chunk by chunk of queries."""

SIDES = ("text_to_image", "image_to_text")


class ImageTextSettings(Closed):
    """Settings of image-text retrieval."""

    k: tuple[Count, ...] = Field(strict=False, min_length=1)
    """Numbers of first places; the first one ranks backbones."""
    fold_images: Count
    """Images of a fold; scores over folds stand beside those of all images."""

    @model_validator(mode="after")
    def _ascends(self) -> "ImageTextSettings":
        if list(self.k) != sorted(set(self.k)):
            raise ValueError(f"k must ascend; got {list(self.k)!r}")
        return self


@dataclass(frozen=True, eq=False)
class ImageTextProblem:
    """Embedded images and captions."""

    images: Floats
    """(N, D)"""
    texts: Floats
    """(M, D)"""
    image_of: Ints
    """(M,) the image of each caption."""


class ImageText(Protocol[ImageTextSettings, ImageTextProblem]):
    """Recall in both directions at every k; text to image at the first k is the headline."""

    name = "image_text"
    settings = ImageTextSettings
    kinds = CLASS_KINDS | {"image-text", "multi-label"}
    outcomes = (TopKResults, RetrievalResults, FirstPlaces, RecallSums)

    def needs(self, settings: ImageTextSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        require_splits(dataset, "test")
        captions = dataset.splits["test"].captions
        if captions is None:
            raise NotApplicableError(f"needs captions; dataset {dataset.name!r} has none.")
        texts = tuple(caption for of_image in captions for caption in of_image)
        return both_towers(dataset, backbone, texts)

    def build(
        self, settings: ImageTextSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> ImageTextProblem:
        """Return the problem without unreadable images and their captions."""
        images, texts = (
            inputs.features(need) for need in needs if isinstance(need, FeatureNeed | TextNeed)
        )
        counts = [len(of_image) for of_image in dataset.splits["test"].captions or ()]
        row_of = np.full(len(counts), -1)
        row_of[images.positions] = np.arange(len(images.positions))
        image_of = np.repeat(row_of, counts)
        readable = image_of >= 0
        return ImageTextProblem(images.rows, texts.rows[readable], image_of[readable])

    def solve(self, problem: ImageTextProblem, settings: ImageTextSettings, device: str) -> Result:
        from bob.numerics.search.per_query import tied_share

        images, texts = problem.images, problem.texts
        checked = features_checked(image=images, text=texts)
        ranked = _ranked(problem, device)
        first = settings.k[0]
        headline = ResultPart(
            top_k_results(ranked["text_to_image"], first, full=True),
            facets={"direction": "text_to_image", "k": first},
        )
        parts = _parts(ranked, settings.k, full=True)
        folds = [_ranked(fold, device) for fold in folds_of(problem, settings.fold_images)]
        if len(folds) > 1:
            joined = {side: [chunk for fold in folds for chunk in fold[side]] for side in SIDES}
            parts += _parts(joined, settings.k, full=False, of=settings.fold_images)
        ties = tied_share(ranked["text_to_image"])
        detail = {
            "images": len(images),
            "captions": len(texts),
            "tied_positives": ties,
            "folds": len(folds) if len(folds) > 1 else 0,
        }
        return Result((headline, *parts), detail, checked + tie_caveats(ties))


def folds_of(problem: ImageTextProblem, size: int) -> list[ImageTextProblem]:
    """Return consecutive folds of `size` images, each with the captions of its images alone."""
    folds = []
    for start in range(0, len(problem.images) - size + 1, size):
        captions = (problem.image_of >= start) & (problem.image_of < start + size)
        folds.append(
            ImageTextProblem(
                problem.images[start : start + size],
                problem.texts[captions],
                problem.image_of[captions] - start,
            )
        )
    return folds


def _ranked(problem: ImageTextProblem, device: str) -> "Ranked":
    """Return the rankings of images for each caption, and of captions for each image."""
    from bob.numerics.search.rankings import rankings

    images, texts = problem.images, problem.texts
    position = np.arange(len(images))
    to_image = {"text_to_image": Labelled((problem.image_of, position))}
    to_text = {"image_to_text": Labelled((position, problem.image_of))}
    ranked = rankings(texts, images, to_image, "cosine", device)
    return ranked | rankings(images, texts, to_text, "cosine", device)


def _recall_sums(ranked: "Ranked") -> RecallSums:
    """Return what both directions find among the first 1, 5 and 10 places."""
    found = [
        np.stack([top_k_results(ranked[side], k, full=True).found for k in (1, 5, 10)], axis=1)
        for side in SIDES
    ]
    return RecallSums(np.concatenate(found), np.repeat([0, 1], [len(side) for side in found]))


def _parts(
    ranked: "Ranked", ks: Sequence[int], *, full: bool, of: int | None = None
) -> list[ResultPart]:
    """Return the recalls, the median ranks and the sum of recalls.

    `full`: with the metrics of full rankings too. `of` is the number of images of a fold.
    """
    from bob.numerics.search.per_query import first_places

    end = "" if of is None else f"_of{of}"
    facets: dict[str, str | int | float] = {} if of is None else {"fold_images": of}
    parts = [
        ResultPart(_recall_sums(ranked), f"both{end}", ("rsum",), {"direction": "both", **facets})
    ]
    for side in SIDES:
        of_side = {"direction": side, **facets}
        for k in ks:
            outcome = top_k_results(ranked[side], k, full=True)
            parts.append(ResultPart(outcome, f"{side}_k{k}{end}", facets={**of_side, "k": k}))
        if full:
            parts.append(
                ResultPart(retrieval_results(ranked[side]), f"{side}{end}", facets=of_side)
            )
        places = FirstPlaces(first_places(ranked[side]))
        parts.append(ResultPart(places, f"{side}{end}", ("median_rank",), of_side))
    return parts


PROTOCOL = ImageText()
