"""Settings of the preprocessing grid."""

from typing import Literal

from pydantic import Field, model_validator

from bob.specs.numbers import Count
from bob.specs.settings.linear import LinearSettings
from bob.specs.yaml import Closed

Normalised = Literal["own", "none", "imagenet", "half"]


class ResizeNormaliseSettings(Closed):
    """Settings of the grid of input sizes and normalisations; see `bob.protocols.resize_normalise`."""

    input_px: tuple[Count, ...] = Field(strict=False)
    """Sizes beside the backbone's own."""
    normalisation: tuple[Normalised, ...] = Field(strict=False, min_length=1)
    """`own` is the backbone's; `none` leaves pixels in [0, 1]; `imagenet` and `half` subtract and divide by those constants."""
    k: Count
    """Neighbours that vote."""
    probe: LinearSettings | None = None
    """The linear probe beside k-NN; None is none."""

    @model_validator(mode="after")
    def _agrees(self) -> "ResizeNormaliseSettings":
        for name, values in (("input_px", self.input_px), ("normalisation", self.normalisation)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must differ; got {list(values)!r}")
        if "own" not in self.normalisation:
            raise ValueError(
                f"normalisation must hold 'own', against which the others are compared; got {list(self.normalisation)!r}"
            )
        return self
