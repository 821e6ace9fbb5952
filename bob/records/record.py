"""Records: the scores of one backbone on one task and dataset, with provenance.

A record is one JSON file, with per-example arrays in a file beside it.
"""

from typing import Any, Literal

from pydantic import Field

from bob.specs import Family, Pretraining
from bob.specs.yaml import Closed

SCHEMA = 1
PRECOMPUTED: Literal["precomputed"] = "precomputed"
"""The loader and output of features that were computed elsewhere and evaluated from a file.

Also the family if the user stated none.
"""


class Score(Closed):
    """One metric's value with its confidence interval."""

    metric: str
    """Name of the metric, with a suffix if the task has several parts: `top1_k20`."""
    facets: dict[str, str | int | float] = {}
    """Part of the task, such as {"k": 20}, {"head": "ridge", "shots": 5} or {"shift": "poly"}.

    Empty for the headline score.
    """
    seed: int | None
    """None if the protocol uses no randomness."""
    value: float | None
    """Fraction in [0, 1] at full precision (log-loss: nats); None if the metric is undefined."""
    low: float | None
    high: float | None
    """Bounds of the 95 % interval; None if the examples do not vary."""
    n: int | None
    """Number of test examples; None if a published number does not state it."""
    interval: str
    """Method of the interval: one of `bob.metrics.intervals.CLOSED_FORMS`, or bootstrap."""
    undefined: str | None = None
    """Why the value is None."""


class BackboneFacts(Closed):
    """Identity and costs of the backbone, as it computed the features."""

    name: str
    family: Family | Literal["precomputed"]
    loader: str
    architecture: str
    weights: str
    """Source of the weights, as text."""
    weights_hash: str
    output: str
    """The output that was read, as text; `precomputed` for features of a file."""
    precision: str
    width: int
    params: int | None
    """None if unknown, as for the other costs."""
    gflops: float | None
    """Forward pass of one image, with 2 FLOPs per multiply-add."""
    weights_mib: float | None
    peak_mib: float | None = None
    """Weights plus peak activation memory of a batch of 4, in eager PyTorch."""
    geometry: dict[str, Any]
    """input_px, crop_pct, crop_mode, interpolation."""
    normalisation: dict[str, tuple[float, ...]] = Field(strict=False)
    """mean, std."""
    licence: str | None = None
    paper: str | None = None
    pretraining: Pretraining | None = None

    @property
    def is_baseline(self) -> bool:
        return self.family == "baseline"


class TaskFacts(Closed):
    """Identity of the task."""

    name: str
    version: int
    protocol: str
    settings: dict[str, Any]
    metrics: tuple[str, ...] = Field(strict=False)
    """The first one ranks backbones."""


class DatasetFacts(Closed):
    """Identity of the dataset: its images, labels and splits."""

    name: str
    fingerprint: str
    split_origin: dict[str, Any]
    classes: int
    counts: dict[str, int]
    """Images per split that were scored or fitted on, without unreadable ones."""
    bad_images: dict[str, list[str]] = {}
    """Per split, the unreadable images that --skip-bad-images excluded."""
    limit: int | None = None
    licence: str | None = None
    notes: tuple[str, ...] = Field((), strict=False)


class Cost(Closed):
    """Time and memory that the cell took on `device`."""

    device: str
    device_name: str | None = None
    """Model of the processor or graphics card."""
    runtime: str | None = None
    """eager, openvino, onnxruntime or compile; rows agree to 1e-5 of their largest value."""
    threads: int
    """Threads of the forward pass."""
    batch_size: int | None
    images: int | None
    """None for precomputed features, whose cost is unknown."""
    decode_seconds: float | None
    """Decoding and cropping of all splits, summed over workers.

    Shared by all backbones of the pass.
    """
    forward_seconds: float | None
    images_per_s: float | None
    """images / forward_seconds, measured warm.

    Excludes loading, compiling, choosing a runtime and waiting for images.
    """
    decode_images_per_s: float | None = None
    """images / decode_seconds: the speed of one core."""
    probe_seconds: float
    pass_peak_mib: float | None = None
    """Peak memory of the process (on a CPU) or of the device during the passes.

    It includes all backbones of a pass, so it describes the run rather than the backbone.
    """


class Record(Closed):
    """The result of one cell: backbone × task × dataset."""

    schema_version: int = SCHEMA
    key: str
    """Hex digest of everything that the scores depend on."""
    status: Literal["ok", "failed", "not_applicable"]
    reason: str | None = None
    """Why the cell failed, or why the task is not applicable."""
    backbone: BackboneFacts | None
    """None if the cell failed before the backbone was loaded."""
    backbone_name: str
    family: Family | Literal["precomputed", "external"]
    task: TaskFacts
    dataset: DatasetFacts | None
    dataset_name: str
    seeds: tuple[int, ...] = Field(strict=False)
    scores: tuple[Score, ...] = Field((), strict=False)
    details: tuple[dict[str, Any], ...] = Field((), strict=False)
    """Per seed, the hyper-parameters that were selected and diagnostics of the fit.

    Linear: {c, c_at_edge, converged, gap, held_out_top1, ...}; k-NN: {k, ...}.
    """
    cost: Cost | None = None
    provenance: dict[str, Any] = {}
    """created (ISO 8601, UTC), bob, python, libraries, git."""
    arrays: str | None = None
    """Name of the file of per-example arrays, beside the JSON file."""
    external: str | None = None
    """Table of a published number (`bob-bench leaderboard --external`).

    Such a record is created for the leaderboard and never stored.
    """


def created(record: Record) -> str:
    """Return when the record was created, in ISO 8601 and UTC: text order is time order."""
    return str(record.provenance.get("created", ""))
