"""Settings: what a task file says to its protocol."""

from bob.specs.settings.corruptions import CorruptionsSettings
from bob.specs.settings.fewshot import EpisodesSettings, FewShotSettings
from bob.specs.settings.image_text import ImageTextSettings
from bob.specs.settings.knn import KnnSettings
from bob.specs.settings.linear import LinearSettings
from bob.specs.settings.multilabel import MultilabelSettings
from bob.specs.settings.ood import OodDetectionSettings, OodSettings
from bob.specs.settings.resize_normalise import ResizeNormaliseSettings
from bob.specs.settings.retrieval import RetrievalSettings
from bob.specs.settings.ridge import RidgeSettings
from bob.specs.settings.zeroshot import ZeroshotSettings
from bob.specs.yaml import Closed

SETTINGS: dict[str, type[Closed]] = {
    "linear": LinearSettings,
    "knn": KnnSettings,
    "ridge": RidgeSettings,
    "multilabel": MultilabelSettings,
    "fewshot": FewShotSettings,
    "episodes": EpisodesSettings,
    "ood": OodSettings,
    "ood_detection": OodDetectionSettings,
    "retrieval": RetrievalSettings,
    "zeroshot": ZeroshotSettings,
    "image_text": ImageTextSettings,
    "corruptions": CorruptionsSettings,
    "resize_normalise": ResizeNormaliseSettings,
}
"""Protocol → the class of its settings."""

__all__ = [
    "SETTINGS",
    "CorruptionsSettings",
    "EpisodesSettings",
    "FewShotSettings",
    "ImageTextSettings",
    "KnnSettings",
    "LinearSettings",
    "MultilabelSettings",
    "OodDetectionSettings",
    "OodSettings",
    "ResizeNormaliseSettings",
    "RetrievalSettings",
    "RidgeSettings",
    "ZeroshotSettings",
]
