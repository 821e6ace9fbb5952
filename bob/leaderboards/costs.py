"""Costs of a backbone: stated by its facts, or measured on the machines that ran it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bob.records.record import BackboneFacts, Cost, Record


@dataclass(frozen=True)
class CostKind:
    """Definition of one cost; exactly one of `from_facts` and `from_cost` is set."""

    label: str
    """Label of an axis."""
    noun: str
    """Text that follows the number in a sentence."""
    less_is_better: bool
    from_facts: Callable[[BackboneFacts], float | None] | None = None
    from_cost: Callable[[Cost], float | None] | None = None


COSTS: dict[str, CostKind] = {
    "params": CostKind(
        "parameters (M)",
        "M parameters",
        True,
        from_facts=lambda facts: None if facts.params is None else facts.params / 1e6,
    ),
    "gflops": CostKind(
        "GFLOPs per image", "GFLOPs per image", True, from_facts=lambda facts: facts.gflops
    ),
    "width": CostKind("embedding width", "wide", True, from_facts=lambda facts: float(facts.width)),
    "weights_mib": CostKind(
        "weights (MiB)", "MiB of weights", True, from_facts=lambda facts: facts.weights_mib
    ),
    "images_per_s": CostKind(
        "images/s", "images/s", False, from_cost=lambda cost: cost.images_per_s
    ),
    "peak_mib": CostKind(
        "memory of a forward pass (MiB)",
        "MiB in a forward pass of 4 images",
        True,
        from_facts=lambda facts: facts.peak_mib,
    ),
}
"""Every cost that scores can be plotted against."""


def short_number(value: float) -> str:
    """Return a number with 3 significant digits and no exponent below a million: `4590`, `0.77`."""
    return f"{float(f'{value:.3g}'):g}"


def devices(records: Iterable[Record]) -> list[str]:
    """Return the devices on which speeds were measured, the one with the most records first.

    Speeds of different devices are never compared.
    """
    counts: dict[str, int] = {}
    for record in records:
        if record.cost and record.cost.images_per_s:
            counts[record.cost.device] = counts.get(record.cost.device, 0) + 1
    return sorted(counts, key=lambda device: (-counts[device], device))


def cost_of(
    name: str, backbone: str, records: Sequence[Record], device: str | None = None
) -> float | None:
    """Return the cost `name` of a backbone, or None if it is unknown.

    A measured cost is the best over the backbone's records on `device` (by default the one with the
    most records), since other load on a machine can only slow it down.
    """
    kind = COSTS[name]
    backbone_records = [record for record in records if record.backbone_name == backbone]
    if kind.from_facts is not None:
        stated = [
            value
            for record in backbone_records
            if record.backbone and (value := kind.from_facts(record.backbone)) is not None
        ]
        return stated[-1] if stated else None
    if kind.from_cost is None:
        return None
    device = device or next(iter(devices(records)), None)
    measured = [
        value
        for record in backbone_records
        if record.cost
        and record.cost.device == device
        and (value := kind.from_cost(record.cost)) is not None
    ]
    if not measured:
        return None
    return min(measured) if kind.less_is_better else max(measured)
