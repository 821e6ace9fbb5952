"""What the registry of backbones holds: frozen weights, their preprocessing and their pooling."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.parse import Closed
from bob.specs.numbers import Count

Family = Literal["supervised", "ssl", "clip", "domain", "baseline"]
Pooling = Literal["default", "cls", "mean_patch", "cls+mean_patch"]


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
