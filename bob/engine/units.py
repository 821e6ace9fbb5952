"""Units of work: what one worker does without talking to others, as plain data.

A unit holds a small plan: the passes to embed, or the cells of one dataset and backbone to score,
with the specs that they name. It round-trips through JSON, and any process that reaches the shared
folders can carry it out.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal

from bob.engine.stages import stages
from bob.io.digest import digest
from bob.plan import Plan
from bob.records.record import Record
from bob.specs.yaml import Closed


class Unit(Closed):
    """Passes to embed or cells to score."""

    kind: Literal["embed", "score"]
    plan: Plan
    """Narrowed to this unit's work."""
    expected_images: dict[str, int] = {}
    """Images that each of its forward passes embeds in the whole run: runtimes are tuned once."""

    @cached_property
    def id(self) -> str:
        """The digest of what the unit does."""
        plan = self.plan
        work = [self.kind, sorted(self.provides), sorted(cell.key for cell in plan.cells)]
        return digest([*work, [whole.fingerprint for whole in plan.passes]])

    @cached_property
    def provides(self) -> frozenset[str]:
        """Digests of the features that it stores."""
        return frozenset(self.plan.stored_digests())

    @cached_property
    def requires(self) -> frozenset[str]:
        """Digests of the features that it reads."""
        return frozenset(digest for cell in self.plan.cells for digest in cell.features)

    @property
    def name(self) -> str:
        """The unit as a person reads it."""
        if self.kind == "embed":
            passes = [f"{whole.dataset} {whole.split}" for whole in self.plan.passes]
            return ", ".join([*passes, *(f"texts of {text.task}" for text in self.plan.texts)])
        cell = self.plan.cells[0]
        return f"{cell.backbone} on {cell.dataset}"


class Done(Closed):
    """What a worker reports of a unit."""

    records: tuple[Record, ...] = ()
    """Of the unit's cells, stored."""
    deferred: bool = False
    """Whether another process scores these cells at this moment."""


def units(plan: Plan, seconds_per_image: Mapping[str, float], workers: int) -> Iterator[Unit]:
    """Yield the units of a plan in the order in which they are best done; see `stages`."""
    images: dict[str, int] = {}
    for whole in plan.passes:
        for forward in whole.forwards:
            images[forward.backbone] = images.get(forward.backbone, 0) + whole.count
    for stage in stages(plan, seconds_per_image, workers):
        for whole in stage.passes:
            expected = {f.backbone: images[f.backbone] for f in whole.forwards}
            part = stage.narrowed(passes=(whole,))
            yield Unit(kind="embed", plan=part, expected_images=expected)
        for texts in stage.texts:
            yield Unit(kind="embed", plan=stage.narrowed(texts=(texts,)))
        for dataset, backbone in dict.fromkeys((c.dataset, c.backbone) for c in stage.cells):
            cells = tuple(
                cell for cell in stage.cells if (cell.dataset, cell.backbone) == (dataset, backbone)
            )
            yield Unit(kind="score", plan=stage.narrowed(cells=cells))
