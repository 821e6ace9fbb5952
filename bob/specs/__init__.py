"""What the registries hold: one frozen spec per backbone, task and dataset. No behaviour, no torch."""

from bob.specs.backbone import (
    TOWER,
    BackboneSpec,
    Family,
    Graph,
    Pooling,
    Preprocessing,
    Pretraining,
)
from bob.specs.dataset import METRICS_OF, NOT_OURS, DatasetSpec, ShiftSpec
from bob.specs.settings import SETTINGS, KnnSettings, LinearSettings
from bob.specs.sources import (
    ArraysSource,
    FolderSource,
    HuggingFaceSource,
    QrelsSource,
    RealSource,
    Repository,
    RevisitedSource,
    Role,
    SampleSource,
    Source,
    TableSource,
    WebDatasetSource,
)
from bob.specs.task import MetricName, Protocol, TaskSpec
from bob.specs.weights import Weights

__all__ = [
    "METRICS_OF",
    "NOT_OURS",
    "SETTINGS",
    "TOWER",
    "ArraysSource",
    "BackboneSpec",
    "DatasetSpec",
    "Family",
    "FolderSource",
    "Graph",
    "HuggingFaceSource",
    "KnnSettings",
    "LinearSettings",
    "MetricName",
    "Pooling",
    "Preprocessing",
    "Pretraining",
    "Protocol",
    "QrelsSource",
    "RealSource",
    "Repository",
    "RevisitedSource",
    "Role",
    "SampleSource",
    "ShiftSpec",
    "Source",
    "TableSource",
    "TaskSpec",
    "WebDatasetSource",
    "Weights",
]
