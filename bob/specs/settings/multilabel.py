"""Settings of the probe for several labels."""

from typing import Annotated

from pydantic import Field

from bob.specs.numbers import Count
from bob.specs.yaml import Closed


class MultilabelSettings(Closed):
    """Settings of the probe for several labels; see `bob.protocols.multilabel`."""

    log10_l2: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of the penalty per train example, and the number of values between, evenly spaced."""
    held_out: Annotated[float, Field(gt=0, lt=1)]
    """The share of train on which the penalty is chosen where the dataset has no val split."""
