"""Zero-shot classification: an image is of the class whose prompts are closest to it in the space that image and text towers share.

As CLIP (Radford et al. 2021, arXiv:2103.00020), open_clip's build_zero_shot_classifier and CLIP_benchmark do it: a class is the mean of its prompts'
normalised embeddings, normalised again; scores are cosines, times a scale for the softmax. No image of train is looked at.

Differs in one point: the scale is the task's and not the checkpoint's (CLIP_benchmark, too, has one for all, 100), so that the probabilities of
backbones with another scale, or with SigLIP's bias, are not those that they were trained for. Accuracy does not depend on it.
"""

import numpy as np
from numpy.typing import NDArray

from bob.numerics.search.similarity import unit
from bob.outcomes import Classified
from bob.protocols.protocol import Part, Result


def zeroshot(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    y: NDArray[np.int64],
    classes: int,
    logit_scale: float,
) -> Result:
    """Images (N, D) of true classes y (N,) against prompts (C · T, D), all of one class together."""
    logits = logit_scale * (unit(images) @ class_embeddings(texts, classes).T)
    return Result(
        (Part(Classified.from_logits(logits, y)),), {"prompts_per_class": len(texts) // classes}
    )


def class_embeddings(texts: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """(C · T, D) embeddings of prompts → (C, D) of length 1."""
    return unit(unit(texts).reshape(classes, -1, texts.shape[1]).mean(1))
