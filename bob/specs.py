"""What the registries hold: one frozen spec per backbone, task and dataset. No behaviour, no torch."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.parse import Closed

Family = Literal["supervised", "ssl", "clip", "domain", "baseline"]
MetricName = Literal["top1", "top5", "mean_per_class", "balanced_accuracy", "macro_f1", "log_loss", "ece"]
"""The names in `bob.metrics`."""
Pooling = Literal["default", "cls", "mean_patch", "cls+mean_patch"]
Count = Annotated[int, Field(ge=1)]


class Weights(Closed):
    """Where a backbone's tensors come from: exactly one of `hub`, `package`, `file`, `random`."""

    hub: str | None = None
    """A Hugging Face repository, `owner/name`."""
    revision: str | None = None
    """The hub commit; None is the repository's main branch, resolved on download and recorded through the weights hash."""
    package: str | None = None
    """An installed distribution that carries `file`."""
    file: str | None = None
    """A path: inside the hub repository, inside the package's folder of site-packages, or on this machine."""
    match: Literal["name", "order"] = "name"
    """How the file's tensors meet the architecture's: by name, or one to one in file order (files converted from other frameworks)."""
    random: int | None = None
    """The seed of a random initialisation."""

    @model_validator(mode="after")
    def _one_source(self) -> "Weights":
        sources = [name for name in ("hub", "package", "random") if getattr(self, name) is not None] or (["file"] if self.file else [])
        if len(sources) != 1:
            raise ValueError(f"needs exactly one of hub, package, file, random; got {', '.join(sources) or 'none'}")
        if self.package and not self.file:
            raise ValueError("'file' is missing: the path of the weights inside the package")
        if self.revision and not self.hub:
            raise ValueError("'revision' belongs to 'hub'")
        return self


class Preprocessing(Closed):
    """Overrides of the backbone's own preprocessing; what is None stays as the backbone's library has it."""

    input_px: Count | None = None
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None
    crop_mode: Literal["center", "squash", "border"] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest", "lanczos"] | None = None
    mean: tuple[float, float, float] | None = Field(None, strict=False)
    std: tuple[float, float, float] | None = Field(None, strict=False)


class Pretraining(Closed):
    """What the weights have seen."""

    method: str
    data: str
    images: Count | None = None


class BackboneSpec(Closed):
    """Frozen weights, their preprocessing and the pooling that probes use."""

    name: str
    family: Family
    loader: Literal["timm", "floor"]
    architecture: str
    """A name of the loader's: timm's architecture, or the kind of floor."""
    weights: Weights | None = None
    pooling: Pooling = "default"
    preprocessing: Preprocessing = Preprocessing()
    width: Count | None = None
    """The feature width D, checked on load; None is discovered."""
    params: Annotated[int, Field(ge=0)] | None = None
    """Of the frozen body, without the head; checked on load."""
    pretraining: Pretraining | None = None
    licence: str | None = None
    paper: str | None = None
    gated: bool = False
    groups: tuple[str, ...] = Field((), strict=False)
    summary: str = ""


class HuggingFaceSource(Closed):
    """Any Hugging Face dataset: a hub id, or a local copy (a folder or file that `datasets` can open)."""

    reader: Literal["huggingface"]
    hub: str | None = None
    path: str | None = None
    revision: str | None = None
    config: str | None = None
    image: str
    """The image column."""
    label: str
    """The label column: a ClassLabel, integers or text."""
    group: str | None = None
    """A column whose equal values must stay on one side of an automatic split."""
    splits: dict[Literal["train", "val", "test"], str]
    """Our split to theirs; without `test`, an automatic split of `train`."""

    @model_validator(mode="after")
    def _one_place(self) -> "HuggingFaceSource":
        if (self.hub is None) == (self.path is None):
            raise ValueError("needs exactly one of hub, path")
        if "train" not in self.splits:
            raise ValueError("splits.train is missing")
        return self


class FolderSource(Closed):
    """Class folders, or train/[val]/test with class folders."""

    reader: Literal["folder"]
    path: str


class TableSource(Closed):
    """A CSV file with columns path, label and optionally split, group."""

    reader: Literal["table"]
    path: str


class SampleSource(Closed):
    """A dataset that installs from the package index: `pip install 'bob-bench[samples]'`."""

    reader: Literal["elpv", "openmoji", "textiles"]


Source = Annotated[HuggingFaceSource | FolderSource | TableSource | SampleSource, Field(discriminator="reader")]


class DatasetSpec(Closed):
    """Images, labels and splits."""

    name: str
    source: Source
    groups: tuple[str, ...] = Field((), strict=False)
    classes: Count | None = None
    """The class count, checked on load."""
    counts: dict[Literal["train", "val", "test"], Count] = {}
    """Images per split, checked on load."""
    licence: str | None = None
    paper: str | None = None
    summary: str = ""


class LinearSettings(Closed):
    """Settings of the linear probe; see `bob.protocols.linear`."""

    log10_c: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of C (scikit-learn's C), and the number of values between, evenly spaced."""
    held_out: Annotated[float, Field(gt=0, lt=1)]
    """The share of train, per class, on which C is chosen where the dataset has no val split."""
    tolerance: Annotated[float, Field(gt=0)]
    """Relative objective gap at which the refit stops."""


class KnnSettings(Closed):
    """Settings of k-NN; see `bob.protocols.knn`."""

    k: tuple[Count, ...] = Field(strict=False, min_length=1)
    metric: Literal["cosine", "euclidean"]
    """Cosine similarity of L2-normalised features, or Euclidean distance of the features as they are."""
    vote: Literal["weighted", "majority"]
    """A neighbour's vote weighs exp(similarity / temperature), or 1."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Of the weighted vote."""
    held_out: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of train, per class, on which one of several k is chosen where the dataset has no val split."""
    max_queries: Count = 10_000
    """At most this many held-out examples are searched when k is chosen."""

    @model_validator(mode="after")
    def _temperature_of_the_weighted_vote(self) -> "KnnSettings":
        if self.vote == "weighted" and self.temperature is None:
            raise ValueError("'temperature' is missing: vote 'weighted' needs one (0.07 in DINO)")
        if self.vote == "majority" and self.temperature is not None:
            raise ValueError(f"'temperature' belongs to vote 'weighted'; got {self.temperature!r} with vote 'majority'")
        return self

    @model_validator(mode="after")
    def _held_out_where_k_is_chosen(self) -> "KnnSettings":
        if len(self.k) > 1 and self.held_out is None:
            raise ValueError("'held_out' is missing: with several k, the one that ranks is chosen on held-out train data (a share such as 0.2)")
        if len(self.k) == 1 and self.held_out is not None:
            raise ValueError(f"'held_out' belongs to several k; got {self.held_out!r} with k {list(self.k)!r}, which leaves nothing to choose")
        return self


SETTINGS: dict[str, type[Closed]] = {"linear": LinearSettings, "knn": KnnSettings}


class TaskSpec(Closed):
    """One setting of one protocol, its metrics and the datasets it runs on."""

    name: str
    version: Count
    protocol: Literal["linear", "knn"]
    summary: str
    settings: LinearSettings | KnnSettings
    metrics: tuple[MetricName, ...] = Field(strict=False, min_length=1)
    """Metrics of the outcome; the first is the one that ranks."""
    datasets: tuple[str, ...] = Field(strict=False, min_length=1)
