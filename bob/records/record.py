"""Records: all scores of one backbone on one task and dataset, with provenance. One JSON file each, with per-example arrays beside it."""

from typing import Any, Literal

from pydantic import Field

from bob.specs import Family, Pooling, Pretraining
from bob.specs.yaml import Closed

SCHEMA = 1
PRECOMPUTED: Literal["precomputed"] = "precomputed"
"""The family, loader and pooling of features that somebody computed elsewhere and evaluated from a file; the family where none was told."""


class Score(Closed):
    """One metric's value with its interval. `value` is None where the metric is undefined, and `undefined` says why."""

    metric: str
    """A metric's name, with the part's suffix where there are several: `top1_k20`."""
    facets: dict[str, str | int | float] = {}
    """Which part of the task this is: {"k": 20}, {"head": "ridge", "shots": 5}, {"shift": "poly"}; empty for the headline."""
    seed: int | None
    """None where the protocol uses no randomness."""
    value: float | None
    """A fraction in [0, 1] at full precision (log-loss: nats)."""
    low: float | None
    high: float | None
    """The 95 % interval; None where the examples hold no spread."""
    n: int | None
    """The number of test examples that the value is over; None where a published number does not say."""
    interval: str
    """How low and high were made: see `bob.metrics.intervals.CLOSED`, or bootstrap."""
    undefined: str | None = None


class BackboneFacts(Closed):
    """Which backbone exactly, as it was when it embedded."""

    name: str
    family: Family | Literal["precomputed"]
    loader: str
    architecture: str
    weights: str
    """Where the tensors came from, in words."""
    weights_hash: str
    pooling: Pooling | Literal["precomputed"]
    precision: str
    width: int
    params: int | None
    """None, as of the other costs, where it is not known."""
    gflops: float | None
    """Forward cost of one image, 2 FLOPs per multiply-add."""
    weights_mib: float | None
    peak_mib: float | None = None
    """Weights and the most that the tensors of one forward in a batch of 4 hold at once, in eager PyTorch."""
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
    """Which task exactly."""

    name: str
    version: int
    protocol: str
    settings: dict[str, Any]
    metrics: tuple[str, ...] = Field(strict=False)
    """The first one ranks."""


class DatasetFacts(Closed):
    """Which images exactly."""

    name: str
    fingerprint: str
    split_origin: dict[str, Any]
    classes: int
    counts: dict[str, int]
    """Images per split that were scored or fitted on, bad ones left out."""
    bad_images: dict[str, list[str]] = {}
    """Per split, the images that --skip-bad-images left out."""
    limit: int | None = None
    licence: str | None = None
    notes: tuple[str, ...] = Field((), strict=False)


class Cost(Closed):
    """What the cell took on `device`."""

    device: str
    device_name: str | None = None
    """The processor's or graphics card's model."""
    runtime: str | None = None
    """eager, openvino, onnxruntime or compile: all give the same rows, to 1e-5 of the largest value."""
    threads: int
    """Of the forward pass."""
    batch_size: int | None
    images: int | None
    """None where features were given, and nobody here knows what they cost."""
    decode_seconds: float | None
    """Decoding and cropping the images of all its splits, summed over workers; shared by every backbone of the pass."""
    forward_seconds: float | None
    images_per_s: float | None
    """images / forward_seconds, measured warm: loading, compiling and choosing a runtime are not in it, waiting for images is not either."""
    decode_images_per_s: float | None = None
    """images / decode_seconds: of one core."""
    probe_seconds: float
    pass_peak_mib: float | None = None
    """The largest memory of the process (on a CPU) or of the device during the passes, all their backbones together: a fact about the run."""


class Record(Closed):
    """One backbone × task × dataset."""

    schema_version: int = SCHEMA
    key: str
    """Hex digest of everything that the scores depend on."""
    status: Literal["ok", "failed", "not_applicable"]
    reason: str | None = None
    """Why it failed, or why the task cannot be asked of this backbone."""
    backbone: BackboneFacts | None
    """None where it failed before it could be loaded."""
    backbone_name: str
    family: Family | Literal["precomputed", "external"]
    task: TaskFacts
    dataset: DatasetFacts | None
    dataset_name: str
    seeds: tuple[int, ...] = Field(strict=False)
    scores: tuple[Score, ...] = Field((), strict=False)
    details: tuple[dict[str, Any], ...] = Field((), strict=False)
    """Per seed, what the protocol chose: linear {c, c_at_edge, converged, gap, held_out_top1, ...}, k-NN {k, ...}."""
    cost: Cost | None = None
    provenance: dict[str, Any] = {}
    """created (ISO 8601, UTC), bob, python, libraries, git."""
    arrays: str | None = None
    """The file of per-example arrays, beside the JSON file."""
    external: str | None = None
    """The table that a published number was read from (`bob-bench leaderboard --external`); such a record is made for the page and never stored."""


def created(record: Record) -> str:
    """When the record was made: ISO 8601 in UTC, so that text order is time order."""
    return str(record.provenance.get("created", ""))
