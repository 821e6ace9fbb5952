"""Entries of the backbone registry: weights, their preprocessing and the output probes read."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bob.specs.numbers import Count
from bob.specs.output import DEFAULT, PRE_PROJECTION, TOWER_POOLS, Output
from bob.specs.weights import Weights
from bob.specs.yaml import Closed

Family = Literal["supervised", "ssl", "clip", "domain", "baseline"]
Loader = Literal["timm", "open_clip", "checkpoint", "transformers", "onnx", "python", "baseline"]
HUB_PREFIX = "hf-hub:"
"""Prefix of an architecture that is described by the configuration in its own hub repository."""
OPTION_LOADERS = ("timm", "open_clip", "checkpoint", "transformers")
"""Loaders that build the architecture in code, and therefore accept `options`, and read its
tensors from a file, and therefore accept `weights.state_dict`."""


class Preprocessing(Closed):
    """Overrides of a backbone's preprocessing. None keeps the value of the backbone's library."""

    input_px: Count | None = None
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None
    crop_mode: Literal["center", "squash", "border"] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest", "lanczos"] | None = None
    mean: tuple[float, float, float] | None = Field(None, strict=False)
    std: tuple[float, float, float] | None = Field(None, strict=False)
    """Of pixels from 0 to 1, as `mean`."""

    @model_validator(mode="after")
    def _normalises_pixels_from_0_to_1(self) -> "Preprocessing":
        """Refuse constants of pixels from 0 to 255, with which all images look alike."""
        remedy = "divide those of pixels from 0 to 255 by 255"
        if self.mean and not all(-1 <= value <= 1 for value in self.mean):
            raise ValueError(
                f"mean is of pixels from 0 to 1, from -1 to 1; got {[*self.mean]!r}; {remedy}"
            )
        if self.std and not all(0 < value <= 1 for value in self.std):
            raise ValueError(
                f"std is of pixels from 0 to 1, above 0 and up to 1; got {[*self.std]!r}; {remedy}"
            )
        return self

    def missing(self) -> list[str]:
        """Return the names of the fields that are None."""
        return [name for name in type(self).model_fields if getattr(self, name) is None]


class OnnxGraph(Closed):
    """Input layout and output tensor of an ONNX file."""

    output: str
    """Name of the output, or of any inner tensor, whose values are the features."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Literal["RGB", "BGR"] = "RGB"
    """Channel order of the graph's input. preprocessing.mean and std are always in RGB order."""


class Pretraining(Closed):
    """Pretraining method and data of the weights."""

    method: str
    data: str
    images: Count | None = None
    """Images of the largest stage that the source states; None where it states none."""
    seen: tuple[str, ...] = Field((), strict=False)
    """Registered datasets whose images are in the pretraining data, which contaminates scores."""


class BackboneSpec(Closed):
    """Frozen weights, their preprocessing and the output that probes read."""

    name: str
    family: Family
    loader: Loader
    architecture: str
    """Name of the architecture for the loader: an architecture of timm or open_clip or
    `hf-hub:owner/name`, `torchvision:NAME`, a model type of transformers, the name of an ONNX file,
    `module:function` or `file.py:function`, or the kind of baseline."""
    options: Mapping[str, Any] = {}
    """Arguments of the architecture that differ from its defaults."""
    weights: Weights | None = None
    graph: OnnxGraph | None = None
    output: Output = DEFAULT
    """Which layers are read and how they are pooled: `cls`, `mean_patch`, `cls@-4,-3,-2,-1`, ..."""
    preprocessing: Preprocessing = Preprocessing()
    input_px: Count | None = None
    """Declared side of the input in pixels, checked on load.

    To change it, use preprocessing.input_px.
    """
    width: Count | None = None
    """Declared feature width D, checked on load."""
    params: Annotated[int, Field(ge=0)] | None = None
    """Declared number of parameters without the classifier head, checked on load."""
    pretraining: Pretraining | None = None
    licence: str | None = None
    paper: str | None = None
    gated: bool = False
    groups: tuple[str, ...] = Field((), strict=False)
    summary: str = ""

    def __hash__(self) -> int:
        """Hash a few fields, since `options` may hold lists; equality compares every field."""
        return hash((self.name, self.output, self.preprocessing))

    @property
    def has_text(self) -> bool:
        """Whether the backbone has a text tower beside the image tower."""
        return self.loader == "open_clip"

    def variant(
        self, *, output: Output | None = None, preprocessing: Preprocessing | None = None
    ) -> "BackboneSpec":
        """Return the same weights with another output or preprocessing.

        Declared facts that may not hold for the variant are dropped. The entry itself is returned
        where nothing changes, so that its card serves both.
        """
        if preprocessing is None and output in (None, self.output):
            return self
        changed: dict[str, Any] = {"output": output or self.output, "width": None}
        if preprocessing:
            changed |= {"preprocessing": preprocessing, "input_px": None, "params": None}
        return self.model_copy(update=changed)

    @property
    def forward(self) -> "BackboneSpec":
        """The entry reduced to what a forward pass depends on: outputs of one forward share it."""
        output = PRE_PROJECTION if self.loader == "open_clip" else DEFAULT
        return self.model_copy(update={"output": output, "width": None})

    def contradictions(self, input_px: int, width: int, params: int) -> list[str]:
        """List the declared facts that differ from the measured ones."""
        measured = {"input_px": input_px, "width": width, "params": params}
        return [
            f"{name} is declared as {declared:,}; it is {value:,}"
            for name, value in measured.items()
            if (declared := getattr(self, name)) not in (None, value)
        ]

    @model_validator(mode="before")
    @classmethod
    def _fill_implied(cls, values: Any) -> Any:
        """Fill in what follows from other keys.

        Probes read CLIP towers before the projection; `hf-hub:` architectures and tagged names of
        timm imply their weights.
        """
        if not isinstance(values, dict):
            return values
        architecture = str(values.get("architecture"))
        implied: dict[str, Any] = {}
        if values.get("loader") == "open_clip":
            implied["output"] = "pre_projection"
        if architecture.startswith(HUB_PREFIX):
            implied["weights"] = {"hub": architecture.removeprefix(HUB_PREFIX)}
        elif values.get("loader") == "timm" and "." in architecture:
            implied["weights"] = {"hub": f"timm/{architecture}"}
        return {**implied, **values}

    @model_validator(mode="after")
    def _is_consistent(self) -> "BackboneSpec":
        if message := self.problem():
            raise ValueError(message)
        return self

    def problem(self) -> str | None:
        """Return which keys contradict each other, as they can in a variant; None if none do."""
        return next((message for fails, message in self._inconsistencies() if fails), None)

    def _inconsistencies(self) -> list[tuple[bool, str]]:
        """Return every check on combinations of keys: whether it fails, and the message if so."""
        weights, loader = self.weights or Weights(random=0), self.loader
        return [
            (
                loader == "open_clip" and str(self.output) not in TOWER_POOLS,
                f"loader open_clip has the outputs {' and '.join(TOWER_POOLS)}; "
                f"got {str(self.output)!r}",
            ),
            (
                loader != "open_clip" and self.output.pool in TOWER_POOLS,
                f"output {str(self.output)!r} belongs to loader open_clip; got loader {loader!r}",
            ),
            (
                loader != "open_clip" and weights.tag is not None,
                f"weights.tag belongs to loader open_clip; got loader {loader!r}",
            ),
            (
                loader != "checkpoint" and bool(weights.strip),
                f"weights.strip belongs to loader checkpoint; got loader {loader!r}",
            ),
            (
                loader not in OPTION_LOADERS and weights.state_dict is not None,
                f"weights.state_dict belongs to {', '.join(OPTION_LOADERS)}; got loader {loader!r}",
            ),
            (
                bool(weights.drop) and loader not in ("checkpoint", "transformers"),
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
                "an ONNX file does not contain its preprocessing: give "
                f"{', '.join(self.preprocessing.missing())}",
            ),
            (
                bool(self.options) and loader not in OPTION_LOADERS,
                f"'options' belong to {', '.join(OPTION_LOADERS)}; got {loader!r}",
            ),
        ]
