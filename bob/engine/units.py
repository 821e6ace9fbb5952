"""Units of work: what one worker does without talking to others, as plain data.

A unit holds a small plan: the passes to embed, or the cells of one dataset and backbone to score,
with the specs that they name. It round-trips through JSON, and any process that reaches the shared
folders can carry it out.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field

from bob.engine.stages import stages
from bob.features.sharding import span_images
from bob.io.digest import digest
from bob.plan import CardReport, Cell, Forward, Pass, Plan, RunSettings
from bob.records.record import Record
from bob.specs import BackboneSpec
from bob.specs.yaml import Closed, plain

UNIT_BACKBONES = 16
"""Most backbones of a unit of a divided pass: as many fit in the memory of most devices, and the
unit stays below 64 kB."""
UnitKind = Literal["check", "embed", "score"]


class Unit(Closed):
    """Backbones to check, passes to embed or cells to score."""

    kind: UnitKind
    plan: Plan
    """Narrowed to this unit's work."""
    spans: tuple[int, int] | None = Field(None, strict=False)
    """Its spans of the pass, from the first to before the second number; None is all."""
    cards: tuple[CardReport, ...] = Field((), strict=False)
    """Cards that the planner knows, so that a worker need not make them."""
    expected_images: dict[str, int] = {}
    """Images that each of its forward passes embeds in the whole run: runtimes are tuned once."""

    @cached_property
    def id(self) -> str:
        """Digest of the work of the unit."""
        plan = self.plan
        work: list[Any] = [
            self.kind,
            sorted(self.provides),
            sorted(cell.key for cell in plan.cells),
        ]
        if self.kind == "check":
            work += [plain(spec) for spec in plan.backbones.values()]
        return digest([*work, [image_pass.fingerprint for image_pass in plan.passes], self.spans])

    @cached_property
    def provides(self) -> frozenset[str]:
        """Digests of the features that it stores."""
        return frozenset(self.plan.stored_digests())

    @cached_property
    def requires(self) -> frozenset[str]:
        """Digests of the features that it reads, and of statistics on which its own depend."""
        features = (digest for cell in self.plan.cells for digest in cell.features)
        return frozenset(features) | frozenset(self.plan.earlier_digests())

    @property
    def name(self) -> str:
        """The unit as readable text."""
        if self.kind == "embed":
            part = f" (spans {self.spans[0]} to {self.spans[1] - 1})" if self.spans else ""
            passes = [
                f"{image_pass.dataset} {image_pass.split}{part}" for image_pass in self.plan.passes
            ]
            return ", ".join([*passes, *(f"texts of {text.task}" for text in self.plan.texts)])
        if self.kind == "check":
            return ", ".join(self.plan.backbones)
        cell = self.plan.cells[0]
        return f"{cell.backbone} on {cell.dataset}"

    def after(self, count: int) -> "Unit | None":
        """Return a unit of its cells after the first `count`; None where there is none."""
        cells = self.plan.cells[count:]
        return Unit(kind=self.kind, plan=self.plan.narrowed(cells=cells)) if cells else None

    def divided(self) -> "list[Unit]":
        """Return units of one backbone, or of one cell, that are this unit together."""
        plan = self.plan
        parts = [
            plan.narrowed(passes=(image_pass.model_copy(update={"forwards": (forward,)}),))
            for image_pass in plan.passes
            for forward in image_pass.forwards
        ]
        parts += [plan.narrowed(texts=(texts,)) for texts in plan.texts]
        parts += [plan.narrowed(cells=(cell,)) for cell in plan.cells]
        images, spans = self.expected_images, self.spans
        return [
            Unit(kind=self.kind, plan=part, expected_images=images, spans=spans) for part in parts
        ]


class Done(Closed):
    """Report of a worker on one unit."""

    records: tuple[Record, ...] = ()
    """Of the unit's cells, stored."""
    cards: tuple[CardReport, ...] = Field((), strict=False)
    """Of the backbones to check."""
    deferred: bool = False
    """Whether another process scores these cells at this moment."""
    rest: Unit | None = None
    """The cells that were not begun within the time that the engine allowed."""


def units(
    plan: Plan,
    seconds_per_image: Mapping[str, float],
    workers: int,
    unit_seconds: float = math.inf,
) -> Iterator[Unit]:
    """Yield the units of a plan in the order in which they are best done; see `stages`.

    Passes whose forwards take longer than `unit_seconds` are divided, by spans of images first: the
    images of a unit are decoded once for all of its backbones.
    """
    images: dict[str, int] = {}
    for image_pass in plan.passes:
        for forward in image_pass.forwards:
            images[forward.backbone] = images.get(forward.backbone, 0) + image_pass.count
    for stage in stages(plan, seconds_per_image, workers):
        for image_pass in stage.passes:
            for forwards in _groups(image_pass, seconds_per_image, unit_seconds):
                group = image_pass.model_copy(update={"forwards": forwards})
                part = stage.narrowed(passes=(group,))
                expected = {f.backbone: images[f.backbone] for f in forwards}
                for spans in _span_ranges(group, seconds_per_image, unit_seconds):
                    yield Unit(kind="embed", plan=part, expected_images=expected, spans=spans)
        for texts in stage.texts:
            yield Unit(kind="embed", plan=stage.narrowed(texts=(texts,)))
        cells: dict[tuple[str, str], list[Cell]] = {}
        for cell in stage.cells:
            cells.setdefault((cell.dataset, cell.backbone), []).append(cell)
        for of_backbone in cells.values():
            yield Unit(kind="score", plan=stage.narrowed(cells=tuple(of_backbone)))


def _groups(
    image_pass: Pass, seconds_per_image: Mapping[str, float], unit_seconds: float
) -> Iterator[tuple[Forward, ...]]:
    """Yield the forwards of a pass, as many at a time as embed one span within a unit's time."""
    images = min(span_images(image_pass.count), image_pass.count)
    group, seconds = list[Forward](), 0.0
    for forward in image_pass.forwards:
        of_forward = images * seconds_per_image.get(forward.backbone, 0.0)
        is_full = seconds + of_forward > unit_seconds or (
            len(group) == UNIT_BACKBONES and math.isfinite(unit_seconds)
        )
        if group and is_full:
            yield tuple(group)
            group, seconds = [], 0.0
        group.append(forward)
        seconds += of_forward
    yield tuple(group)


def _span_ranges(
    image_pass: Pass, seconds_per_image: Mapping[str, float], unit_seconds: float
) -> Iterator[tuple[int, int] | None]:
    """Yield ranges of spans of about equal size that embed within a unit's time, at least one."""
    spans = -(-image_pass.count // span_images(image_pass.count))
    seconds = image_pass.count * sum(
        seconds_per_image.get(f.backbone, 0.0) for f in image_pass.forwards
    )
    parts = max(1, min(spans, math.ceil(seconds / unit_seconds)))
    if parts == 1:
        yield None
        return
    cuts = [spans * i // parts for i in range(parts + 1)]
    yield from pairwise(cuts)


def check_units(specs: Iterable[BackboneSpec], settings: RunSettings) -> Iterator[Unit]:
    """Yield a unit for each backbone, which checks the backbone and its variants."""
    of_name: dict[str, list[BackboneSpec]] = {}
    for spec in specs:
        of_name.setdefault(spec.name, []).append(spec)
    for name, variants in of_name.items():
        backbones = {f"{name}~{i}" if i else name: spec for i, spec in enumerate(variants)}
        plan = Plan(settings=settings, backbones=backbones, tasks={}, datasets={})
        yield Unit(kind="check", plan=plan)
