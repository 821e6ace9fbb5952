"""Settings of the few-shot protocols."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from bob.specs.numbers import Count
from bob.specs.yaml import Closed

Head = Literal["ridge", "logistic", "centroid"]


class FewShotSettings(Closed):
    """Settings of N-shot probes; see `bob.protocols.fewshot`."""

    shots: tuple[Count, ...] = Field(strict=False, min_length=2)
    """Train images per class, ascending."""
    draws: Annotated[int, Field(ge=2)]
    """Times that train images are drawn; an interval needs two."""
    heads: tuple[Head, ...] = Field(strict=False, min_length=1)
    """The first one's label efficiency ranks."""
    l2: Annotated[float, Field(gt=0)]
    """Penalty of ridge and logistic regression, in units of the mean squared length of the centred train rows."""

    @field_validator("shots")
    @classmethod
    def _ascending(cls, shots: tuple[int, ...]) -> tuple[int, ...]:
        if list(shots) != sorted(set(shots)):
            raise ValueError(f"must ascend without repeats; got {list(shots)!r}")
        return shots

    @field_validator("heads")
    @classmethod
    def _heads_once(cls, heads: tuple[str, ...]) -> tuple[str, ...]:
        return _once(heads)


class EpisodesSettings(Closed):
    """Settings of N-way K-shot episodes; see `bob.protocols.episodes`."""

    ways: tuple[Annotated[int, Field(ge=2)], ...] = Field(strict=False, min_length=1)
    """Classes of an episode."""
    shots: tuple[Count, ...] = Field(strict=False, min_length=1)
    """Train images per class of an episode."""
    queries: Count
    """Test images per class of an episode."""
    episodes: Annotated[int, Field(ge=2)]
    heads: tuple[Head, ...] = Field(strict=False, min_length=1)
    """The first one's accuracy with the first ways and the last shots ranks."""
    l2: Annotated[float, Field(gt=0)]
    """Penalty of ridge and logistic regression on rows of length 1: scikit-learn's alpha and 1 / C."""

    @field_validator("heads")
    @classmethod
    def _heads_once(cls, heads: tuple[str, ...]) -> tuple[str, ...]:
        return _once(heads)


def _once(heads: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(heads)) < len(heads):
        raise ValueError(f"must not repeat a head; got {list(heads)!r}")
    return heads
