"""What the registries hold: one frozen spec per backbone, task and dataset. No behaviour, no torch."""

from bob.specs.backbone import BackboneSpec, Family, Pooling, Preprocessing, Pretraining, Weights
from bob.specs.dataset import DatasetSpec, FolderSource, HuggingFaceSource, SampleSource, Source, TableSource
from bob.specs.task import SETTINGS, KnnSettings, LinearSettings, MetricName, TaskSpec

__all__ = [
    "SETTINGS",
    "BackboneSpec",
    "DatasetSpec",
    "Family",
    "FolderSource",
    "HuggingFaceSource",
    "KnnSettings",
    "LinearSettings",
    "MetricName",
    "Pooling",
    "Preprocessing",
    "Pretraining",
    "SampleSource",
    "Source",
    "TableSource",
    "TaskSpec",
    "Weights",
]
