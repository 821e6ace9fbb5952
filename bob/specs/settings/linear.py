"""Settings of the linear probe."""

from typing import Annotated

from pydantic import Field

from bob.parse import Closed
from bob.specs.numbers import Count


class LinearSettings(Closed):
    """Settings of the linear probe; see `bob.protocols.linear`."""

    log10_c: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of C (scikit-learn's C), and the number of values between, evenly spaced."""
    held_out: Annotated[float, Field(gt=0, lt=1)]
    """The share of train, per class, on which C is chosen where the dataset has no val split."""
    tolerance: Annotated[float, Field(gt=0)]
    """Relative objective gap at which the refit stops."""
