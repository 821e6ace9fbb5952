"""Image-text retrieval: captions find their image, and images one of their captions, by cosine.

R@k as for COCO and Flickr30k after Karpathy & Fei-Fei 2015 (arXiv:1412.2306) and in CLIP_benchmark:
the share of captions (of images) with their image (with at least one of their captions) among the
first k. All captions are used; an image may have any number of them.

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
from bob.outcomes import RecallSums, RetrievalResults, TopKResults
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


class ImageTextSettings(Closed):
    """Settings of image-text retrieval."""

    k: tuple[Count, ...] = Field(strict=False, min_length=1)
    """Numbers of first places; the first one ranks backbones."""

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
    outcomes = (TopKResults, RetrievalResults, RecallSums)

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
        from bob.numerics.search.rankings import rankings

        images, texts = problem.images, problem.texts
        checked = features_checked(image=images, text=texts)
        position = np.arange(len(images))
        to_image = {"text_to_image": Labelled((problem.image_of, position))}
        to_text = {"image_to_text": Labelled((position, problem.image_of))}
        ranked = rankings(texts, images, to_image, "cosine", device)
        ranked |= rankings(images, texts, to_text, "cosine", device)
        parts = [
            part
            for direction, chunks in ranked.items()
            for part in _parts(direction, chunks, settings.k)
        ]
        first = settings.k[0]
        headline = ResultPart(
            top_k_results(ranked["text_to_image"], first, full=True),
            facets={"direction": "text_to_image", "k": first},
        )
        ties = tied_share(ranked["text_to_image"])
        detail = {"images": len(images), "captions": len(texts), "tied_positives": ties}
        together = ResultPart(_recall_sums(ranked), "both", ("rsum",), {"direction": "both"})
        return Result((headline, together, *parts), detail, checked + tie_caveats(ties))


def _recall_sums(ranked: "Mapping[str, list[RankedPositives]]") -> RecallSums:
    """Return what both directions find among the first 1, 5 and 10 places."""
    found = [
        np.stack([top_k_results(ranked[side], k, full=True).found for k in (1, 5, 10)], axis=1)
        for side in ("text_to_image", "image_to_text")
    ]
    return RecallSums(np.concatenate(found), np.repeat([0, 1], [len(side) for side in found]))


def _parts(direction: str, ranked: "list[RankedPositives]", ks: Sequence[int]) -> list[ResultPart]:
    at_k = [
        ResultPart(
            top_k_results(ranked, k, full=True),
            f"{direction}_k{k}",
            facets={"direction": direction, "k": k},
        )
        for k in ks
    ]
    full = ResultPart(retrieval_results(ranked), direction, facets={"direction": direction})
    return [*at_k, full]


PROTOCOL = ImageText()
