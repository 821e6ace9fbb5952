"""What a backbone costs: from its facts, and as measured on the machines at hand."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bob.records.record import BackboneFacts, Cost, Record

CostName = Literal["params", "gflops", "width", "weights_mib", "images_per_s", "peak_mib"]


@dataclass(frozen=True)
class CostKind:
    """How one cost is read."""

    label: str
    noun: str
    """What follows its number in a sentence."""
    less_is_better: bool
    of_facts: Callable[[BackboneFacts], float | None] | None = None
    of_cost: Callable[[Cost], float | None] | None = None


COSTS: dict[str, CostKind] = {
    "params": CostKind(
        "parameters (M)",
        "M parameters",
        True,
        of_facts=lambda facts: None if facts.params is None else facts.params / 1e6,
    ),
    "gflops": CostKind(
        "GFLOPs per image", "GFLOPs per image", True, of_facts=lambda facts: facts.gflops
    ),
    "width": CostKind("embedding width", "wide", True, of_facts=lambda facts: float(facts.width)),
    "weights_mib": CostKind(
        "weights (MiB)", "MiB of weights", True, of_facts=lambda facts: facts.weights_mib
    ),
    "images_per_s": CostKind("images/s", "images/s", False, of_cost=lambda cost: cost.images_per_s),
    "peak_mib": CostKind(
        "memory of a forward (MiB)",
        "MiB in a forward of 4 images",
        True,
        of_facts=lambda facts: facts.peak_mib,
    ),
}
"""Every cost that quality can be drawn against."""


def devices(records: Iterable[Record]) -> list[str]:
    """On which devices speeds were measured, the one with most records first. Speeds of different devices are never compared."""
    counts: dict[str, int] = {}
    for record in records:
        if record.cost and record.cost.images_per_s:
            counts[record.cost.device] = counts.get(record.cost.device, 0) + 1
    return sorted(counts, key=lambda device: (-counts[device], device))


def cost_of(
    name: str, backbone: str, records: Sequence[Record], device: str | None = None
) -> float | None:
    """One cost of a backbone; None where it is unknown.

    A measurement is that on `device` (the one with most records unless told): the best of its cells, since a busy machine only ever slows one down.
    """
    kind, own = COSTS[name], [record for record in records if record.backbone_name == backbone]
    if kind.of_facts is not None:
        known = [
            value
            for record in own
            if record.backbone is not None and (value := kind.of_facts(record.backbone)) is not None
        ]
        return known[-1] if known else None
    if kind.of_cost is None:
        return None
    where = device or next(iter(devices(records)), None)
    measured = [
        value
        for record in own
        if record.cost
        and record.cost.device == where
        and (value := kind.of_cost(record.cost)) is not None
    ]
    if not measured:
        return None
    return min(measured) if kind.less_is_better else max(measured)
