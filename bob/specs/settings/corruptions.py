"""Settings of robustness to common corruptions."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.specs.numbers import Count
from bob.specs.settings.linear import LinearSettings
from bob.specs.yaml import Closed

Severity = Annotated[int, Field(ge=1, le=5)]
FamilyName = Literal["noise", "blur", "weather", "digital", "extra"]


class CorruptionsSettings(Closed):
    """Settings of the corruptions task; see `bob.protocols.corruptions`."""

    families: tuple[FamilyName, ...] = Field(strict=False, min_length=1)
    """Of corruptions; the first four are the common 15, `extra` the 4 that were meant for tuning."""
    severities: tuple[Severity, ...] = Field(strict=False, min_length=1)
    images: Count | None
    """At most this many test images, class proportions kept; None is all."""
    side_px: Count
    """The shorter side that an image has while it is corrupted."""
    probe: LinearSettings
    """Fitted on clean train images."""

    @model_validator(mode="after")
    def _agrees(self) -> "CorruptionsSettings":
        for name, values in (("families", self.families), ("severities", self.severities)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must differ; got {list(values)!r}")
        if self.side_px < 32:
            raise ValueError(
                f"side_px must be at least 32, below which some corruptions do not exist; got {self.side_px!r}"
            )
        return self
