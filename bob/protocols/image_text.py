"""Image-text retrieval: captions find their image, and images one of their captions, by cosine in the space that both towers share.

R@k as for COCO and Flickr30k after Karpathy & Fei-Fei 2015 (arXiv:1412.2306) and in CLIP_benchmark: the share of captions (of images) with their
image (with at least one of their captions) among the first k. All captions are used; an image may have any number of them.

Differs in one point: equal similarities go to the lower position, where topk leaves them to the library. Nothing is left out of a ranking.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bob.protocols.protocol import Part, Result
from bob.protocols.ranking import Found, rankings, retrieved, shortlist
from bob.protocols.relevance import Labelled


def image_text(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    image_of: NDArray[np.int64],
    ks: Sequence[int],
    device: str,
) -> Result:
    """Images (N, D), captions (M, D) and the image of each (M,). Text to image at the first k is the headline."""
    own = np.arange(len(images))
    found = rankings(texts, images, {"text_to_image": Labelled((image_of, own))}, "cosine", device)
    found |= rankings(images, texts, {"image_to_text": Labelled((own, image_of))}, "cosine", device)
    parts = [part for direction, chunks in found.items() for part in _parts(direction, chunks, ks)]
    headline = Part(
        shortlist(found["text_to_image"], ks[0], whole=True),
        facets={"direction": "text_to_image", "k": ks[0]},
    )
    return Result((headline, *parts), {"images": len(images), "captions": len(texts)})


def _parts(direction: str, found: list[Found], ks: Sequence[int]) -> list[Part]:
    at_k = [
        Part(
            shortlist(found, k, whole=True),
            f"{direction}_k{k}",
            facets={"direction": direction, "k": k},
        )
        for k in ks
    ]
    return [*at_k, Part(retrieved(found), direction, facets={"direction": direction})]
