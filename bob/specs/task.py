"""Task files: one setting of one protocol, its metrics and the datasets it runs on."""

from typing import Annotated

from pydantic import Field, SerializeAsAny

from bob.specs.numbers import Count
from bob.specs.yaml import Closed


class TaskSpec(Closed):
    """One setting of one protocol, its metrics and the datasets it runs on."""

    name: str
    version: Count
    """Raised where the scores of unchanged inputs change."""
    additions: Annotated[int, Field(ge=0)] = 0
    """Raised where scores are added and all others stay: records without them are completed."""
    protocol: str
    """Name of a protocol; see `bob.protocols`."""
    summary: str
    settings: SerializeAsAny[Closed]
    """An instance of the protocol's settings model."""
    metrics: tuple[str, ...] = Field(strict=False, min_length=1)
    """Names of metrics of its outcomes; the first is the one that ranks."""
    datasets: tuple[str, ...] = Field(strict=False, min_length=1)
    """Names, globs and groups of the datasets on which it runs when none is named."""
    groups: tuple[str, ...] = Field((), strict=False)
    """`core` are the tasks that run when none is named: one per question, none of which embeds
    altered images."""
