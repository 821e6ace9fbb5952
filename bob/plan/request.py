"""The request of a run, with names resolved in the registries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bob.datasets.content.images import DEFAULT_ALPHA, Alpha
from bob.features.store import FeatureStore
from bob.records.store import RecordStore
from bob.registry import Selected
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec
from bob.specs.yaml import Closed


class RunSettings(Closed):
    """Settings on which features and records depend; part of every plan."""

    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    preprocessing: Literal["exact", "fast"] = "exact"
    alpha: Alpha = DEFAULT_ALPHA
    """The background on which transparent images are laid."""
    stored: Literal["float32", "float16"] = "float32"
    """Data type of stored features."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Largest number of images per split."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), strict=False)
    skip_bad: bool = False
    """Leave unreadable images out instead of failing."""
    fresh: bool = False
    """Compute stored features and records again."""

    @field_validator("seeds")
    @classmethod
    def _are_different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError("must be one or several different numbers")
        return seeds


@dataclass(frozen=True)
class Places:
    """The folders of a run."""

    cache: Path
    results: Path
    feature_folder: Path | None = None
    """Folder of stored features; None is the one in the cache."""

    def features(self) -> FeatureStore:
        return FeatureStore(self.feature_folder or self.cache / "features")

    def records(self) -> RecordStore:
        return RecordStore(self.results)


@dataclass(frozen=True)
class Machine:
    """How one process computes. Results do not depend on it."""

    devices: tuple[str, ...] = ("cpu",)
    """Devices of one kind, which embed side by side; probes run on the first."""
    batch_size: int | None = None
    """None is chosen for the device."""
    workers: int = 1
    """Decoding threads."""
    runtime: str = "eager"
    """One of `bob.extraction.runtimes.autotune.RUNTIMES`, or auto."""
    shares_runtimes: bool = False
    """Whether other processes compute for the same plan, with the same runtimes."""
    offline: bool = False
    fail_fast: bool = False
    """Stop at the first cell that fails."""

    scoring_device: str | None = None
    """Device on which tasks are solved; None is the device that embeds."""
    is_remote: bool = False
    """Whether other machines compute, whose devices are unknown to this process."""

    @property
    def device(self) -> str:
        return self.devices[0]

    @property
    def is_tuned(self) -> bool:
        """Whether runtime and batch size are chosen by measuring, not named."""
        return self.runtime == "auto" and not self.batch_size


@dataclass(frozen=True)
class Request:
    """Backbones, tasks and datasets to run, with settings, folders and the machine."""

    backbones: Sequence[Selected[BackboneSpec]]
    tasks: Sequence[TaskSpec]
    datasets: Mapping[str, Sequence[Selected[DatasetSpec]]]
    """Task name → its datasets."""
    entries: Mapping[str, DatasetSpec]
    """Every registered dataset: entries may refer to others."""
    places: Places
    settings: RunSettings = field(default_factory=RunSettings)
    machine: Machine = field(default_factory=Machine)
    max_params: int | None = None
