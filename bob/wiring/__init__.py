"""Wiring: which features a task needs of a dataset and a backbone, and the problem that they make for its protocol."""

from bob.protocols.knn import knn
from bob.protocols.linear import linear
from bob.protocols.ridge import ridge
from bob.wiring.classification import classifier
from bob.wiring.corruptions import CORRUPTIONS
from bob.wiring.fewshot import EPISODES, FEWSHOT
from bob.wiring.grid import RESIZE_NORMALISE
from bob.wiring.multilabel import MULTILABEL
from bob.wiring.retrieval import RETRIEVAL
from bob.wiring.shifts import OOD, OOD_DETECTION
from bob.wiring.text import IMAGE_TEXT, ZEROSHOT
from bob.wiring.wired import FeaturesOf, Need, Needs, TextNeed, Wired

WIRING: dict[str, Wired] = {
    "linear": classifier(linear),
    "knn": classifier(knn),
    "ridge": classifier(ridge),
    "multilabel": MULTILABEL,
    "fewshot": FEWSHOT,
    "episodes": EPISODES,
    "ood": OOD,
    "ood_detection": OOD_DETECTION,
    "retrieval": RETRIEVAL,
    "zeroshot": ZEROSHOT,
    "image_text": IMAGE_TEXT,
    "corruptions": CORRUPTIONS,
    "resize_normalise": RESIZE_NORMALISE,
}
"""Protocol, as a task file names it → how it is asked."""

__all__ = ["WIRING", "FeaturesOf", "Need", "Needs", "TextNeed", "Wired"]
