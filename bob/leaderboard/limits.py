"""Part of the records: by task, dataset and what a backbone may cost."""

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bob.errors import ConfigError, nearest
from bob.leaderboard.cells import facts_by_backbone
from bob.leaderboard.costs import COSTS, cost_of
from bob.records.record import Record


@dataclass(frozen=True)
class Limits:
    """What a backbone must keep to; None where it does not matter."""

    max_params: int | None = None
    max_gflops: float | None = None
    max_width: int | None = None
    min_images_per_s: float | None = None
    licence: str | None = None
    """A glob, case ignored, such as `apache*`."""
    device: str | None = None
    """Where speeds are measured; None takes the device with most records."""
    max_peak_mib: float | None = None

    def words(self) -> str:
        """`at most 30 M parameters, at least 200 images/s`; empty where nothing is asked."""
        parts = [
            f"at most {self.max_params / 1e6:g} M parameters"
            if self.max_params is not None
            else "",
            f"at most {self.max_gflops:g} GFLOPs per image" if self.max_gflops is not None else "",
            f"width at most {self.max_width}" if self.max_width is not None else "",
            f"at most {self.max_peak_mib:g} MiB in a forward of 4 images"
            if self.max_peak_mib is not None
            else "",
            f"at least {self.min_images_per_s:g} images/s"
            if self.min_images_per_s is not None
            else "",
            f"licence {self.licence}" if self.licence is not None else "",
        ]
        return ", ".join(part for part in parts if part)


def choose(records: Iterable[Record], tasks: str | None, datasets: str | None) -> list[Record]:
    """Records of these tasks and datasets: names and globs, separated by commas. A pattern that meets nothing is an error."""
    kept = list(records)
    for kind, patterns in (("task", tasks), ("dataset", datasets)):
        if patterns and patterns != "all":
            names = sorted({_name(record, kind) for record in kept})
            wanted = {
                name
                for pattern in patterns.split(",")
                for name in _matching(pattern.strip(), names, kind)
            }
            kept = [record for record in kept if _name(record, kind) in wanted]
    return kept


def _name(record: Record, kind: str) -> str:
    return record.task.name if kind == "task" else record.dataset_name


def _matching(pattern: str, names: Sequence[str], kind: str) -> list[str]:
    found = fnmatch.filter(names, pattern)
    if not found:
        raise ConfigError(
            f"no records of {kind} {pattern!r}{nearest(pattern, names)} There are records of: {', '.join(names) or 'none'}."
        )
    return found


def beyond(records: Sequence[Record], limits: Limits) -> dict[str, str]:
    """Backbones that do not keep to the limits → why. One whose cost is not known does not keep to a limit on it."""
    return {
        name: why for name in facts_by_backbone(records) if (why := _breach(name, records, limits))
    }


def _breach(name: str, records: Sequence[Record], limits: Limits) -> str:
    """Every limit that a backbone breaks, in words; empty where it keeps to all."""
    most = {
        "params": _millions(limits.max_params),
        "gflops": limits.max_gflops,
        "width": limits.max_width,
        "peak_mib": limits.max_peak_mib,
    }
    broken = [
        _over(cost, cost_of(cost, name, records), limit)
        for cost, limit in most.items()
        if limit is not None
    ]
    if limits.min_images_per_s is not None:
        broken.append(
            _under(cost_of("images_per_s", name, records, limits.device), limits.min_images_per_s)
        )
    if limits.licence is not None:
        facts = facts_by_backbone([record for record in records if record.backbone_name == name])[
            name
        ]
        licence = (facts.licence if facts else None) or "not known"
        broken.append(
            "" if fnmatch.fnmatch(licence.lower(), limits.licence.lower()) else f"licence {licence}"
        )
    return ", ".join(text for text in broken if text)


def _millions(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def _over(cost: str, value: float | None, limit: float) -> str:
    if value is None:
        return f"{COSTS[cost].label} not known"
    return f"{value:.3g} {COSTS[cost].noun}" if value > limit else ""


def _under(speed: float | None, limit: float) -> str:
    if speed is None:
        return "images/s not measured here"
    return f"{speed:.3g} images/s" if speed < limit else ""
