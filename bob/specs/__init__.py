"""Entries of the registries: frozen specs of backbones, tasks and datasets. Imports no torch."""

from bob.specs.backbone import (
    BackboneSpec,
    Family,
    OnnxGraph,
    Preprocessing,
    Pretraining,
)
from bob.specs.data_options import DataOptions
from bob.specs.dataset import METRICS_BY_KIND, UNSCORED_METRICS, DatasetSpec, ShiftSpec
from bob.specs.output import DEFAULT, EMBEDDING, GRID, Output
from bob.specs.sources import (
    ArraysSource,
    DepthListsSource,
    FolderSource,
    HuggingFaceSource,
    MasksSource,
    PairedFoldersSource,
    ParquetSource,
    QrelsSource,
    RealSource,
    RepositorySource,
    RevisitedSource,
    Role,
    SampleSource,
    Source,
    SPairSource,
    TableColumns,
    TableSource,
    WebDatasetSource,
)
from bob.specs.task import TaskSpec
from bob.specs.weights import Weights

__all__ = [
    "DEFAULT",
    "EMBEDDING",
    "GRID",
    "METRICS_BY_KIND",
    "UNSCORED_METRICS",
    "ArraysSource",
    "BackboneSpec",
    "DataOptions",
    "DatasetSpec",
    "DepthListsSource",
    "Family",
    "FolderSource",
    "HuggingFaceSource",
    "MasksSource",
    "OnnxGraph",
    "Output",
    "PairedFoldersSource",
    "ParquetSource",
    "Preprocessing",
    "Pretraining",
    "QrelsSource",
    "RealSource",
    "RepositorySource",
    "RevisitedSource",
    "Role",
    "SPairSource",
    "SampleSource",
    "ShiftSpec",
    "Source",
    "TableColumns",
    "TableSource",
    "TaskSpec",
    "WebDatasetSource",
    "Weights",
]
