"""The work of a run, and nominal times for what was not measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bob.specs import DatasetSpec, SampleSource

DECODE_SECONDS = 0.004
"""Core-seconds to decode and crop an image; photographs of 500 px take about this."""
RENDER_SECONDS = 0.006
"""Core-seconds to render a drawing that is an image of a dataset."""
PROBE_SECONDS = 1.0
"""Seconds to score a cell whose features are stored; thousands of images take about this."""


@dataclass(frozen=True)
class Work:
    """Images to decode and embed and cells to score in a run, with expected speeds."""

    images: Mapping[tuple[str, str, str], int]
    """Dataset, split and backbone → images to embed."""
    seconds_per_image: Mapping[str, float]
    """Backbone → seconds of its forward pass, preparation included."""
    cells: int
    workers: int = 1
    """Decoding threads."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Name in the plan of a variant of a backbone → the backbone's, under which it reports."""

    def by_reported_name(self) -> "Work":
        """Return the same work with the variants of each backbone in one."""
        images: dict[tuple[str, str, str], int] = {}
        seconds: dict[str, float] = {}
        totals: dict[str, int] = {}
        for (dataset, split, variant), count in self.images.items():
            name = self.names.get(variant, variant)
            images[dataset, split, name] = images.get((dataset, split, name), 0) + count
            of_variant = count * self.seconds_per_image.get(variant, 0.0)
            seconds[name] = seconds.get(name, 0.0) + of_variant
            totals[name] = totals.get(name, 0) + count
        speeds = {name: seconds[name] / max(total, 1) for name, total in totals.items()}
        return Work(images, speeds, self.cells, self.workers)

    @property
    def decoded(self) -> int:
        """Images to decode, each once for all backbones of its pass."""
        most: dict[tuple[str, str], int] = {}
        for (dataset, split, _), images in self.images.items():
            most[dataset, split] = max(images, most.get((dataset, split), 0))
        return sum(most.values())

    @property
    def seconds(self) -> float:
        """Expected seconds of the whole run."""
        forward = sum(
            images * self.seconds_per_image[backbone]
            for (_, _, backbone), images in self.images.items()
        )
        decode = self.decoded * DECODE_SECONDS / self.workers
        return forward + decode + self.cells * PROBE_SECONDS


def decode_seconds(spec: DatasetSpec | None) -> float:
    """Return the core-seconds to read an image of a dataset, decode and crop it."""
    source = spec.source if spec else None
    is_rendered = isinstance(source, SampleSource) and source.is_rendered
    return DECODE_SECONDS + (RENDER_SECONDS if is_rendered else 0.0)
