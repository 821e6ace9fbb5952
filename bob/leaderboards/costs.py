"""Costs of a backbone: stated by its facts, or measured on the machines that ran it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bob.io.text import short_count, short_number
from bob.leaderboards.speeds import Speeds, speeds
from bob.records.record import BackboneFacts, Record


@dataclass(frozen=True)
class CostKind:
    """Definition of one cost."""

    label: str
    """Label of an axis."""
    noun: str
    """Text that follows the number in a sentence."""
    less_is_better: bool
    from_facts: Callable[[BackboneFacts], float | None] | None = None
    """None for the speed, which is measured."""
    amount: Callable[[float], str] = short_number
    """The number in a sentence, with its unit if it needs one."""

    def text(self, value: float) -> str:
        """Return `3.37 M parameters`."""
        return f"{self.amount(value)} {self.noun}"

    def versus(self, value: float, other: float) -> str:
        """Return `3.37 M parameters, versus 4.14`, with a unit where the two differ in it."""
        unit = self.amount(value).partition(" ")[2]
        compared = self.amount(other).removesuffix(f" {unit}")
        return f"{self.text(value)}, versus {compared}"


COSTS: dict[str, CostKind] = {
    "params": CostKind(
        "parameters (M)",
        "parameters",
        True,
        amount=lambda millions: short_count(1e6 * millions),
        from_facts=lambda facts: None if facts.params is None else facts.params / 1e6,
    ),
    "gflops": CostKind(
        "GFLOPs per image", "GFLOPs per image", True, from_facts=lambda facts: facts.gflops
    ),
    "width": CostKind("embedding width", "wide", True, from_facts=lambda facts: float(facts.width)),
    "weights_mib": CostKind(
        "weights (MiB)", "MiB of weights", True, from_facts=lambda facts: facts.weights_mib
    ),
    "images_per_s": CostKind("images/s", "images/s", False),
    "peak_mib": CostKind(
        "memory of a forward pass (MiB)",
        "MiB in a forward pass of 4 images",
        True,
        from_facts=lambda facts: facts.peak_mib,
    ),
}
"""Every cost that scores can be plotted against."""


def cost_of(
    name: str, backbone: str, records: Sequence[Record], measured: Speeds | None = None
) -> float | None:
    """Return the cost `name` of a backbone, or None if it is unknown.

    A speed is the one under the conditions at which speeds are compared: those of `measured`, by
    default of all records.
    """
    kind = COSTS[name]
    if kind.from_facts is None:
        return (measured or speeds(records)).comparable(backbone)
    stated = [
        value
        for record in records
        if record.backbone_name == backbone
        and record.backbone
        and (value := kind.from_facts(record.backbone)) is not None
    ]
    return stated[-1] if stated else None
