"""What was asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bob.features.store import FeatureStore
from bob.records.store import RecordStore
from bob.registry import Selected
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec


@dataclass(frozen=True)
class Request:
    """What was asked for, as plain values."""

    backbones: Sequence[Selected[BackboneSpec]]
    tasks: Sequence[TaskSpec]
    datasets: Mapping[str, Sequence[Selected[DatasetSpec]]]
    """Task name → its datasets."""
    entries: Mapping[str, DatasetSpec]
    """Every registered dataset, for those that refer to others."""
    cache: Path
    results: Path
    device: str = "cpu"
    more_devices: tuple[str, ...] = ()
    """Further devices of the same kind, which embed beside it."""
    precision: str = "float32"
    batch_size: int | None = None
    """None: chosen for the device."""
    workers: int = 1
    runtime: str = "eager"
    """One of bob.extraction.runtimes.autotune.RUNTIMES, or auto."""
    preprocessing: Literal["exact", "fast"] = "exact"
    stored: Literal["float32", "float16"] = "float32"
    limit: int | None = None
    max_params: int | None = None
    seeds: tuple[int, ...] = (0,)
    offline: bool = False
    fresh: bool = False
    skip_bad: bool = False
    fail_fast: bool = False

    def store(self) -> FeatureStore:
        return FeatureStore(self.cache / "features")

    def record_store(self) -> RecordStore:
        return RecordStore(self.results)
