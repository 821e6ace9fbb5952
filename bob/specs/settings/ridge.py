"""Settings of the ridge probe."""

from typing import Annotated

from pydantic import Field

from bob.specs.numbers import Count
from bob.specs.yaml import Closed


class RidgeSettings(Closed):
    """Settings of the ridge probe; see `bob.protocols.ridge`."""

    log10_l2: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of the penalty per train example, and the number of values between, evenly spaced."""
    held_out: Annotated[float, Field(gt=0, lt=1)]
    """The share of train, per class, on which the penalty is chosen where the dataset has no val split."""
