"""Settings of the linear probe."""

from typing import Annotated

from pydantic import Field, model_validator

from bob.specs.numbers import Count
from bob.specs.yaml import Closed


class LinearSettings(Closed):
    """Settings of the linear probe; see `bob.protocols.linear`."""

    log10_c: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of C (scikit-learn's C), and the number of values between, evenly spaced."""
    held_out: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of train, per class, on which C is chosen where the dataset has no val split."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """In place of `held_out`: the stratified folds of train, each held out in turn, whose mean top-1 chooses C."""
    tolerance: Annotated[float, Field(gt=0)]
    """Relative objective gap at which the refit stops."""

    @model_validator(mode="after")
    def _one_way_of_choosing(self) -> "LinearSettings":
        if (self.held_out is None) == (self.folds is None):
            given = (
                "neither"
                if self.folds is None
                else f"held_out {self.held_out!r} and folds {self.folds!r}"
            )
            raise ValueError(
                f"C is chosen on a held-out share of train ('held_out', such as 0.2) or by 'folds' (such as 5): give one; got {given}"
            )
        return self
