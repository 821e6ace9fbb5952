"""Which tensor of a forward pass is read as the features of an image."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_serializer, model_validator

from bob.specs.yaml import Closed

Pool = Literal["default", "cls", "mean_patch", "cls+mean_patch", "pre_projection", "embedding"]
Tokens = Literal["pooled", "grid", "keys"]
TOWER_POOLS: tuple[Pool, ...] = ("pre_projection", "embedding")
"""Pools of an image-text model's image tower: before and after the projection into the space
that it shares with text."""
_LAST_LAYER_POOLS: tuple[Pool, ...] = ("default", *TOWER_POOLS)
_TEXT = re.compile(r"(?P<pool>[a-z_+]+)(@(?P<layers>-?\d+(,-?\d+)*))?")


def _named_layers(layers: Any) -> Any:
    """Return `last`, or different layers as a tuple; ValueError for anything else."""
    if layers == "last":
        return layers
    # type() rather than isinstance(): True is an int
    if not isinstance(layers, list | tuple) or any(type(layer) is not int for layer in layers):
        raise ValueError(f"must be 'last' or a list of whole numbers; got {layers!r}")
    if not layers:
        raise ValueError("must name at least one layer, or be 'last'; got []")
    if len(set(layers)) < len(layers):
        raise ValueError(f"must differ; got {list(layers)!r}")
    return tuple(layers)


Layers = Annotated[Literal["last"] | tuple[int, ...], BeforeValidator(_named_layers)]
"""Layers of a backbone, as in `Output`."""


class Output(Closed):
    """Which layers of a backbone are read, and how their tokens become features.

    Pooled outputs are rows of shape (D,), grids and keys are maps of shape (H, W, D). Several
    layers are concatenated along D in the order in which they are named. An output is written as
    text in entries, keys, file names and tables: `cls`, `grid`, `keys`, `cls@-4,-3,-2,-1`.
    """

    layers: Layers = "last"
    """Indices of blocks (transformers) or stages (convolutional networks), counted from 0, or from
    the end where negative. `last` is what the architecture's own head would read."""
    tokens: Tokens = "pooled"
    """One row per image, or one row per position of the feature map: of features, or of the keys
    of a transformer's last attention, all heads side by side."""
    pool: Pool = "default"
    """How positions become one row. `default` is the pooling of the architecture's own head, `cls`
    the class token, `mean_patch` the mean over positions, `cls+mean_patch` both side by side."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, values: Any) -> Any:
        """Accept an output written as text, so that outputs can be keys of JSON objects."""
        return parse(values) if isinstance(values, str) else values

    @model_validator(mode="after")
    def _is_consistent(self) -> "Output":
        if self.is_grid and self.pool != "default":
            raise ValueError(
                f"a grid is not pooled; got pool {self.pool!r} with tokens {self.tokens!r}"
            )
        if self.layers == "last":
            return self
        if self.tokens == "keys":
            raise ValueError(f"keys are those of the last attention; got layers {self.layers!r}")
        layers = list(self.layers)
        if self.tokens == "pooled" and self.pool in _LAST_LAYER_POOLS:
            raise ValueError(
                f"pool {self.pool!r} belongs to the last layer; with layers {layers!r} "
                "use 'cls', 'mean_patch' or 'cls+mean_patch'"
            )
        return self

    @model_serializer
    def __str__(self) -> str:
        """Return the output as text, the inverse of `parse`."""
        pool = self.tokens if self.is_grid else self.pool
        layers = "" if self.layers == "last" else f"@{','.join(map(str, self.layers))}"
        return pool + layers

    @property
    def is_grid(self) -> bool:
        """Whether the features are a map."""
        return self.tokens != "pooled"


DEFAULT = Output()
"""What the architecture's own head reads."""
PRE_PROJECTION = Output(pool="pre_projection")
"""What an image-text model's projection reads."""
EMBEDDING = Output(pool="embedding")
"""An image-text model's image embedding."""
GRID = Output(tokens="grid")
"""The feature map of the last layer."""
KEYS = Output(tokens="keys")
"""The map of keys of the last attention."""


def parse(text: str) -> dict[str, Any]:
    """Return the fields of an output written as text; ValueError where it is not one."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"an output is written as 'cls', 'grid' or 'cls@-2,-1'; got {text!r}")
    layers = match["layers"]
    fields: dict[str, Any] = {
        "layers": "last" if layers is None else tuple(map(int, layers.split(",")))
    }
    if match["pool"] in (GRID.tokens, KEYS.tokens):
        return {**fields, "tokens": match["pool"]}
    return {**fields, "pool": match["pool"]}
