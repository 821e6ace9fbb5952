"""Records: the scores of one backbone on one task and dataset, with provenance.

A record is one JSON file, with per-example arrays in a file beside it. Its schema is closed and its
numbers are finite and in range, so that whatever reads a record can rely on both.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, FiniteFloat

from bob.records.data_report import DataReport
from bob.specs import Family, Pretraining
from bob.specs.yaml import Closed

SCHEMA: Literal[2] = 2
"""Version of this format. Records of any other version are set aside, never read as this one."""
LARGEST_COUNT = 2**53
"""Counts up to this number are exact in JavaScript, which shows them."""

Name = Annotated[str, Field(min_length=1)]
NonNegative = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Amount = Annotated[FiniteFloat, Field(ge=0)]
"""Seconds, MiB, images per second and other costs."""


def _known_geometry(geometry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check the types of the entries that tables have columns for; others are free."""
    crop_pct, input_px = geometry.get("crop_pct"), geometry.get("input_px")
    if crop_pct is not None and not _is_number(crop_pct):
        raise ValueError(f"geometry.crop_pct must be a number; got {crop_pct!r}")
    sides = input_px if isinstance(input_px, list | tuple) else [input_px]
    if not all(isinstance(side, int | None) for side in sides):
        raise ValueError(f"geometry.input_px must be pixels; got {input_px!r}")
    for name in ("interpolation", "crop_mode", "preprocessing"):
        if not isinstance(geometry.get(name), str | None):
            raise ValueError(f"geometry.{name} must be text; got {geometry[name]!r}")
    return geometry


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


FUSED: Literal["fused"] = "fused"
"""The family and loader of several backbones together, which `bob-bench fuse --record` writes."""
PRECOMPUTED: Literal["precomputed"] = "precomputed"
"""The loader and output of features that were computed elsewhere and evaluated from a file.

Also the family if the user stated none.
"""


class Score(Closed):
    """One metric's value with its confidence interval."""

    metric: Name
    """Name of the metric, with a suffix if the task has several parts: `top1_k20`."""
    facets: dict[str, str | Seed | FiniteFloat] = {}
    """Part of the task, such as {"k": 20}, {"head": "ridge", "shots": 5} or {"shift": "poly"}.

    Empty for the headline score.
    """
    seed: Seed | None
    """None if the protocol uses no randomness."""
    value: FiniteFloat | None
    """Fraction in [0, 1] at full precision (log-loss: nats); None if the metric is undefined."""
    low: FiniteFloat | None
    high: FiniteFloat | None
    """Bounds of the 95 % interval; None if the examples do not vary, or if there is no bound."""
    n: NonNegative | None
    """Number of test examples; None if a published number does not state it."""
    interval: str
    """Method of the interval: one of `bob.metrics.intervals.CLOSED_FORMS`, or bootstrap."""
    undefined: str | None = None
    """Why the value is None."""
    majority: FiniteFloat | None = None
    """Value of a classifier that knows the class frequencies of train alone, where it has one."""
    chance: FiniteFloat | None = None
    """Value expected of random answers, where the metric has one."""


class BackboneFacts(Closed):
    """Identity and costs of the backbone, as it computed the features."""

    name: Name
    family: Family | Literal["precomputed", "fused"]
    loader: str
    architecture: str
    weights: str
    """Source of the weights, as text."""
    weights_hash: str
    output: str
    """The output that was read, as text; `precomputed` for features of a file."""
    precision: str
    width: NonNegative
    params: NonNegative | None
    """None if unknown, as for the other costs."""
    gflops: Amount | None
    """Forward pass of one image, with 2 FLOPs per multiply-add."""
    weights_mib: Amount | None
    peak_mib: Amount | None = None
    """Weights plus peak activation memory of a batch of 4, in eager PyTorch."""
    geometry: Annotated[dict[str, Any], AfterValidator(_known_geometry)]
    """input_px, crop_pct, crop_mode, interpolation."""
    normalisation: dict[str, tuple[FiniteFloat, ...]] = Field(strict=False)
    """mean, std."""
    licence: str | None = None
    paper: str | None = None
    pretraining: Pretraining | None = None
    notes: tuple[str, ...] = Field((), strict=False)
    """What was chosen or left out when the weights were loaded."""

    @property
    def is_baseline(self) -> bool:
        return self.family == "baseline"


class TaskFacts(Closed):
    """Identity of the task."""

    name: Name
    version: NonNegative
    additions: NonNegative = 0
    """How often scores had been added to those of this version."""
    protocol: str
    settings: dict[str, Any]
    metrics: tuple[Name, ...] = Field(strict=False, min_length=1)
    """The first one ranks backbones."""


class DatasetFacts(Closed):
    """Identity of the dataset: its images, labels and splits."""

    name: Name
    fingerprint: str
    split_origin: dict[str, Any]
    classes: NonNegative
    counts: dict[str, NonNegative]
    """Images per split that were scored or fitted on, without unreadable ones."""
    bad_images: dict[str, list[str]] = {}
    """Per split, the unreadable images that --skip-bad-images excluded."""
    limit: NonNegative | None = None
    normal: tuple[str, ...] = Field((), strict=False)
    """The classes declared as normal, for anomaly detection."""
    alpha: Literal["white", "black", "drop"] | None = None
    """Background of transparent images; None where no image can be transparent."""
    licence: str | None = None
    notes: tuple[str, ...] = Field((), strict=False)
    report: DataReport | None = None
    """What the dataset consists of before a limit; None for features from files."""


class Cost(Closed):
    """Time and memory that the cell took on `device`."""

    device: str
    device_name: str | None = None
    """Model of the processor or graphics card."""
    runtime: str | None = None
    """eager, openvino, onnxruntime or compile; rows agree to 1e-5 of their largest value.

    Joined by " + " where several took part: then `images_per_s` is that of neither.
    """
    threads: NonNegative
    """Threads of the forward pass."""
    batch_size: NonNegative | None
    images: NonNegative | None
    """None for precomputed features, whose cost is unknown."""
    decode_seconds: Amount | None
    """Decoding and cropping of all splits, summed over workers.

    Shared by all backbones of the pass.
    """
    forward_seconds: Amount | None
    images_per_s: Amount | None
    """images / forward_seconds, measured warm.

    Excludes loading, compiling, choosing a runtime and waiting for images.
    """
    decode_images_per_s: Amount | None = None
    """images / decode_seconds: the speed of one core."""
    probe_seconds: Amount
    """What the task took. A probe that several tasks of a run share counts for the first one."""
    pass_peak_mib: Amount | None = None
    """Peak memory of the process (on a CPU) or of the device during the passes.

    It includes all backbones of a pass, so it describes the run rather than the backbone.
    """


class ArrayFile(Closed):
    """Content of the file of per-example arrays, which has the record's name."""

    digest: str
    """xxh3-128 of its bytes, as hex."""
    size: NonNegative
    """Bytes."""


class Record(Closed):
    """The result of one cell: backbone × task × dataset."""

    schema_version: Literal[2] = SCHEMA
    key: Name
    """Hex digest of everything that the scores depend on."""
    status: Literal["ok", "failed", "not_applicable", "dropped"]
    """Dropped: a race ended for this backbone before it was scored on all images."""
    reason: str | None = None
    """Why the cell failed, why the task is not applicable, or at how many images it was dropped."""
    backbone: BackboneFacts | None
    """None if the cell failed before the backbone was loaded."""
    backbone_name: Name
    family: Family | Literal["precomputed", "external", "fused"]
    task: TaskFacts
    dataset: DatasetFacts | None
    dataset_name: Name
    seeds: tuple[Seed, ...] = Field(strict=False)
    scores: tuple[Score, ...] = Field((), strict=False)
    details: tuple[dict[str, Any], ...] = Field((), strict=False)
    """Per seed, the hyper-parameters that were selected and diagnostics of the fit.

    Linear: {c, c_at_edge, converged, gap, held_out_top1, ...}; k-NN: {k, ...}.
    """
    cost: Cost | None = None
    provenance: dict[str, Any] = {}
    """created (ISO 8601, UTC), bob, python, libraries, git."""
    arrays: ArrayFile | None = None
    """The per-example arrays that were stored beside the JSON file."""
    fused: tuple[Name, ...] = Field((), strict=False)
    """The backbones that were fused, whose costs are summed; empty for a single one.

    A fusion is shown beside single backbones and never ranked among them.
    """
    external: str | None = None
    """Table of a published number (`bob-bench leaderboard --external`).

    Such a record is created for the leaderboard and never stored.
    """


def lacks_scores(record: Record, additions: int) -> bool:
    """Return whether scores have been added to the record's task, `additions` times, since."""
    return record.task.additions < additions


def created(record: Record) -> str:
    """Return when the record was created, in ISO 8601 and UTC: text order is time order."""
    return str(record.provenance.get("created", ""))
