"""What the registry of backbones holds: frozen weights, their preprocessing and their pooling."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bob.specs.numbers import Count
from bob.specs.weights import Weights
from bob.specs.yaml import Closed

Family = Literal["supervised", "ssl", "clip", "domain", "baseline"]
Loader = Literal["timm", "open_clip", "checkpoint", "transformers", "onnx", "python", "floor"]
Pooling = Literal["default", "cls", "mean_patch", "cls+mean_patch", "pre_projection", "embedding"]
TOWER: tuple[Pooling, ...] = ("pre_projection", "embedding")
"""Poolings of an image-text model's image tower, before and after the projection into the space that it shares with text."""
OWN_REPOSITORY = "hf-hub:"
"""Prefix of an architecture that a hub repository describes itself."""
ARCHITECTURE_OPTIONS = ("timm", "open_clip", "checkpoint", "transformers")
"""Loaders that build the architecture in code, and so take `options`."""


class Preprocessing(Closed):
    """Overrides of the backbone's own preprocessing; what is None stays as the backbone's library has it."""

    input_px: Count | None = None
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None
    crop_mode: Literal["center", "squash", "border"] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest", "lanczos"] | None = None
    mean: tuple[float, float, float] | None = Field(None, strict=False)
    std: tuple[float, float, float] | None = Field(None, strict=False)

    def missing(self) -> list[str]:
        return [name for name in type(self).model_fields if getattr(self, name) is None]


class Graph(Closed):
    """How an ONNX file is fed and read."""

    output: str
    """The output, or any inner tensor, whose values are the features."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Literal["RGB", "BGR"] = "RGB"
    """The order that the graph expects; preprocessing.mean and std are in the order RGB all the same."""


class Pretraining(Closed):
    """What the weights have seen."""

    method: str
    data: str
    images: Count | None = None
    """Of the last, largest stage that the source states; None where it states none."""
    seen: tuple[str, ...] = Field((), strict=False)
    """Datasets of ours whose images are in the pretraining data: scores on them are contaminated."""


class BackboneSpec(Closed):
    """Frozen weights, their preprocessing and the pooling that probes use."""

    name: str
    family: Family
    loader: Loader
    architecture: str
    """A name of the loader's: timm's or open_clip's architecture or `hf-hub:owner/name`, `torchvision:NAME`, transformers' model type,
    an ONNX file's own name, `module:function` or `file.py:function`, the kind of floor."""
    options: Mapping[str, Any] = {}
    """What differs from the architecture's own defaults in the weights' training code."""
    weights: Weights | None = None
    graph: Graph | None = None
    pooling: Pooling = "default"
    preprocessing: Preprocessing = Preprocessing()
    input_px: Count | None = None
    """The side of the input that all of this makes, checked on load; to set it, use preprocessing.input_px."""
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

    def __hash__(self) -> int:
        """`options` may hold lists; equality compares every field."""
        return hash((self.name, self.pooling, self.preprocessing))

    @property
    def has_text(self) -> bool:
        """Whether there is a text tower beside the image tower."""
        return self.loader == "open_clip"

    def variant(
        self, *, pooling: Pooling | None = None, preprocessing: Preprocessing | None = None
    ) -> "BackboneSpec":
        """The same weights read or fed otherwise; what the entry declares and might not hold for it is discovered anew."""
        changed: dict[str, Any] = {"pooling": pooling or self.pooling, "width": None}
        if preprocessing:
            changed |= {"preprocessing": preprocessing, "input_px": None, "params": None}
        return self.model_copy(update=changed)

    def contradicted(self, input_px: int, width: int, params: int) -> list[str]:
        """What the entry declares and is not so."""
        found = {"input_px": input_px, "width": width, "params": params}
        wrong = [name for name, value in found.items() if getattr(self, name) not in (None, value)]
        return [
            f"{name} is declared as {getattr(self, name):,}; it is {found[name]:,}"
            for name in wrong
        ]

    @model_validator(mode="before")
    @classmethod
    def _implied(cls, values: Any) -> Any:
        """A CLIP tower's probes read it before the projection; `hf-hub:` architectures, and timm's with a tag, bring their own weights."""
        if not isinstance(values, dict):
            return values
        architecture = str(values.get("architecture"))
        implied: dict[str, Any] = {}
        if values.get("loader") == "open_clip":
            implied["pooling"] = "pre_projection"
        if architecture.startswith(OWN_REPOSITORY):
            implied["weights"] = {"hub": architecture.removeprefix(OWN_REPOSITORY)}
        elif values.get("loader") == "timm" and "." in architecture:
            implied["weights"] = {"hub": f"timm/{architecture}"}
        return {**implied, **values}

    @model_validator(mode="after")
    def _agrees(self) -> "BackboneSpec":
        for wrong, problem in self._contradictions():
            if wrong:
                raise ValueError(problem)
        return self

    def _contradictions(self) -> list[tuple[bool, str]]:
        weights, loader = self.weights or Weights(random=0), self.loader
        laid_out, drops = bool(weights.state_dict or weights.strip), bool(weights.drop)
        return [
            (
                loader == "open_clip" and self.pooling not in TOWER,
                f"loader open_clip has the poolings {' and '.join(TOWER)}; got {self.pooling!r}",
            ),
            (
                loader != "open_clip" and self.pooling in TOWER,
                f"pooling {self.pooling!r} belongs to loader open_clip; got loader {loader!r}",
            ),
            (
                loader != "open_clip" and weights.tag is not None,
                f"weights.tag belongs to loader open_clip; got loader {loader!r}",
            ),
            (
                loader != "checkpoint" and laid_out,
                f"weights.state_dict and strip belong to loader checkpoint; got loader {loader!r}",
            ),
            (
                drops and loader not in ("checkpoint", "transformers"),
                f"weights.drop belongs to checkpoint and transformers; got loader {loader!r}",
            ),
            (
                loader == "onnx" and self.graph is None,
                "loader onnx needs 'graph': {output: the tensor to read}",
            ),
            (
                loader != "onnx" and self.graph is not None,
                f"'graph' belongs to loader onnx; got loader {loader!r}",
            ),
            (
                loader == "onnx" and bool(self.preprocessing.missing()),
                f"an ONNX file does not tell its preprocessing: give {', '.join(self.preprocessing.missing())}",
            ),
            (
                bool(self.options) and loader not in ARCHITECTURE_OPTIONS,
                f"'options' belong to {', '.join(ARCHITECTURE_OPTIONS)}; got {loader!r}",
            ),
        ]
