"""Speeds, which are compared only where they were measured under the same conditions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bob.io.text import short_number
from bob.leaderboards.cells import is_baseline
from bob.records.record import Cost, Record

MIXED = " + "
"""Joins the runtimes of a speed that is that of none of them; see `bob.records.record.Cost`."""


class SpeedConditions(NamedTuple):
    """What two speeds must share to be comparable."""

    device: str
    device_name: str
    """Model of the processor or graphics card; empty if unknown."""
    threads: int
    runtime: str
    """Empty if unknown."""

    @property
    def machine(self) -> tuple[str, str, int]:
        return self.device, self.device_name, self.threads

    def text(self, beside: "SpeedConditions | None" = None) -> str:
        """Return `cpu with eager`; beside other conditions, also what else differs from them."""
        details = [self.device]
        if beside and self.device_name != beside.device_name:
            details.append(f"({self.device_name or 'unknown model'})")
        if beside and self.threads != beside.threads:
            details.append(f"with {self.threads} threads")
        if self.runtime or (beside and beside.runtime):
            details.append(f"with {self.runtime or 'an unknown runtime'}")
        return " ".join(details)


@dataclass(frozen=True)
class Speeds:
    """Images per second of every backbone under every condition that it was measured under."""

    measured: Mapping[str, Mapping[SpeedConditions, float]]
    """Backbone → conditions → the best speed, since other load can only slow a machine down."""
    reference: SpeedConditions | None
    """The conditions under which speeds are compared: those of the most backbones.

    Baselines, which one runtime suits as well as another, count only where there is nothing else.
    """
    runtimes: frozenset[str]
    """The runtimes with which backbones were measured on the machine of the reference."""
    mixed: frozenset[str]
    """Backbones of which some features were made with several runtimes at once."""

    def comparable(self, backbone: str) -> float | None:
        """Return the speed under the reference conditions; None if not measured there."""
        if self.reference is None:
            return None
        return self.measured.get(backbone, {}).get(self.reference)

    def on_machine(self, backbone: str) -> dict[str, float]:
        """Return the speeds on the reference machine by runtime, the fastest first."""
        if self.reference is None:
            return {}
        speeds = {
            conditions.runtime: speed
            for conditions, speed in self.measured.get(backbone, {}).items()
            if conditions.machine == self.reference.machine
        }
        return dict(sorted(speeds.items(), key=lambda item: (-item[1], item[0])))

    def not_comparable(self, backbone: str) -> str:
        """Return the conditions under which a backbone was measured, if only under others.

        Empty if it was measured under the reference conditions, or never.
        """
        if self.comparable(backbone) is not None:
            return ""
        others = sorted(self.measured.get(backbone, {}).items())
        texts = [
            f"{short_number(speed)} images/s on {conditions.text(self.reference)}"
            for conditions, speed in others
        ]
        if not texts and backbone in self.mixed:
            return "with several runtimes at once"
        return "; ".join(texts)


def speeds(
    records: Iterable[Record], device: str | None = None, runtime: str | None = None
) -> Speeds:
    """Return the speeds of the records, on one device or with one runtime if they are given."""
    measured: dict[str, dict[SpeedConditions, float]] = defaultdict(dict)
    mixed: set[str] = set()
    counts: Counter[SpeedConditions] = Counter()
    backbones: dict[SpeedConditions, set[str]] = defaultdict(set)
    for record in sorted(records, key=is_baseline):
        cost, name = record.cost, record.backbone_name
        if cost is None or not cost.images_per_s:
            continue
        if device not in (None, cost.device, _kind(cost.device)):
            continue
        conditions = conditions_of(cost)
        if MIXED in conditions.runtime:
            mixed.add(name)
        elif runtime in (None, conditions.runtime):
            fastest = max(cost.images_per_s, measured[name].get(conditions, 0.0))
            measured[name][conditions] = fastest
            if not is_baseline(record) or not counts:
                counts[conditions] += 1
                backbones[conditions].add(name)
    reference = min(
        counts,
        key=lambda conditions: (-len(backbones[conditions]), -counts[conditions], conditions),
        default=None,
    )
    runtimes = {
        found.runtime for found in counts if reference and found.machine == reference.machine
    }
    by_backbone = {name: dict(found) for name, found in measured.items()}
    return Speeds(by_backbone, reference, frozenset(runtimes), frozenset(mixed))


def conditions_of(cost: Cost) -> SpeedConditions:
    """Return the conditions under which a speed was measured."""
    device = _kind(cost.device) if cost.device_name else cost.device
    return SpeedConditions(device, cost.device_name or "", cost.threads, cost.runtime or "")


def _kind(device: str) -> str:
    """Return `cuda` for `cuda:1`: devices of one model are alike."""
    return device.partition(":")[0]
