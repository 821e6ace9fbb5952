"""Selection of records by task and dataset, and limits on what a backbone may cost."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bob.errors import ConfigError, nearest
from bob.io.text import short_count, short_number
from bob.leaderboards.cells import facts_by_backbone
from bob.leaderboards.costs import COSTS, cost_of
from bob.leaderboards.speeds import Speeds
from bob.records.record import Record


@dataclass(frozen=True)
class BackboneLimits:
    """Limits that a recommended backbone must meet; None for no limit."""

    max_params: int | None = None
    max_gflops: float | None = None
    max_width: int | None = None
    min_images_per_s: float | None = None
    licence: str | None = None
    """A case-insensitive glob, such as `apache*`."""
    device: str | None = None
    """Device on which speeds were measured; None for that of the most backbones."""
    max_peak_mib: float | None = None
    runtime: str | None = None
    """Runtime with which speeds were measured; None for any, as far as they are comparable."""

    def describe(self) -> str:
        """Return `at most 30 M parameters, at least 200 images/s`; empty without limits."""
        texts = []
        if self.max_params is not None:
            noun = "parameter" if self.max_params == 1 else "parameters"
            texts.append(f"at most {short_count(self.max_params, digits=6)} {noun}")
        if self.max_gflops is not None:
            texts.append(f"at most {self.max_gflops:g} GFLOPs per image")
        if self.max_width is not None:
            texts.append(f"width at most {self.max_width}")
        if self.max_peak_mib is not None:
            texts.append(f"at most {self.max_peak_mib:g} MiB in a forward pass of 4 images")
        if self.min_images_per_s is not None:
            texts.append(f"at least {self.min_images_per_s:g} images/s")
        if self.licence is not None:
            texts.append(f"licence {self.licence}")
        return ", ".join(texts)


def select_records(
    records: Iterable[Record], tasks: str | None, datasets: str | None
) -> list[Record]:
    """Return the records of the given tasks and datasets.

    Both are names and globs, separated by commas; None, empty and `all` select everything.

    Raises
    ------
    ConfigError
        If a pattern matches no record.
    """
    selected = list(records)
    for kind, patterns in (("task", tasks), ("dataset", datasets)):
        if patterns and patterns != "all":
            names = sorted({_name(record, kind) for record in selected})
            matches = {
                name
                for pattern in patterns.split(",")
                for name in _matching(pattern.strip(), names, kind)
            }
            selected = [record for record in selected if _name(record, kind) in matches]
    return selected


def _name(record: Record, kind: str) -> str:
    return record.task.name if kind == "task" else record.dataset_name


def _matching(pattern: str, names: Sequence[str], kind: str) -> list[str]:
    matches = fnmatch.filter(names, pattern)
    if not matches:
        raise ConfigError(
            f"no records of {kind} {pattern!r}{nearest(pattern, names)} "
            f"Records exist for: {', '.join(names) or 'none'}."
        )
    return matches


@dataclass(frozen=True)
class LimitCheck:
    """What the limits say of the backbones that do not meet them."""

    excluded: dict[str, str]
    """Backbones that violate a limit → every violation, as text."""
    not_comparable: dict[str, str]
    """Other backbones whose speed was measured under other conditions only → these, as text."""


def check_limits(records: Sequence[Record], limits: BackboneLimits, measured: Speeds) -> LimitCheck:
    """Compare every backbone of the records with the limits.

    A backbone whose cost is unknown violates a limit on it.
    """
    check = LimitCheck({}, {})
    for name in facts_by_backbone(records):
        violations = _violations(name, records, limits)
        doubt = ""
        if limits.min_images_per_s is not None:
            violation, doubt = _too_slow(name, limits, measured)
            violations += [violation] if violation else []
        if violations:
            check.excluded[name] = ", ".join(violations)
        elif doubt:
            check.not_comparable[name] = doubt
    return check


def _violations(name: str, records: Sequence[Record], limits: BackboneLimits) -> list[str]:
    """Return the violations of all limits but that on the speed."""
    maxima = {
        "params": None if limits.max_params is None else limits.max_params / 1e6,
        "gflops": limits.max_gflops,
        "width": limits.max_width,
        "peak_mib": limits.max_peak_mib,
    }
    violations = []
    for cost, maximum in maxima.items():
        if maximum is not None:
            value = cost_of(cost, name, records)
            if value is None:
                violations.append(f"{COSTS[cost].label} unknown")
            elif value > maximum:
                violations.append(COSTS[cost].text(value))
    if limits.licence is not None:
        licence = _licence(name, records) or "unknown"
        if not fnmatch.fnmatch(licence.lower(), limits.licence.lower()):
            violations.append(f"licence {licence}")
    return violations


def _too_slow(name: str, limits: BackboneLimits, measured: Speeds) -> tuple[str, str]:
    """Return whether a backbone violates the limit on the speed, and why that is undecided.

    Each as text, empty if not. With any runtime, a speed of at least the limit meets it.
    """
    found = measured.on_machine(name)
    if any(speed >= (limits.min_images_per_s or 0.0) for speed in found.values()):
        return "", ""
    undecided = undecided_speed(name, measured)
    if undecided or found:
        return ("", undecided) if undecided else (_speed_texts(found), "")
    conditions = f" on {limits.device}" if limits.device else ""
    return f"images/s not measured{conditions}{_with(limits.runtime or '')}", ""


def undecided_speed(name: str, measured: Speeds) -> str:
    """Return why a speed below a limit decides nothing; empty if it does, or if there is none.

    It decides where it was measured with all runtimes that others were measured with on the
    machine: those that are missing may be faster.
    """
    found = measured.on_machine(name)
    others = sorted(measured.runtimes - found.keys())
    if not found:
        return measured.not_comparable(name)
    if not others:
        return ""
    listed = " or ".join(runtime or "an unknown runtime" for runtime in others)
    return f"{_speed_texts(found)}; not measured with {listed}"


def _speed_texts(found: Mapping[str, float]) -> str:
    return ", ".join(
        f"{short_number(speed)} images/s{_with(runtime)}" for runtime, speed in found.items()
    )


def _with(runtime: str) -> str:
    return f" with {runtime}" if runtime else ""


def _licence(name: str, records: Sequence[Record]) -> str | None:
    facts = facts_by_backbone(record for record in records if record.backbone_name == name)[name]
    return facts.licence if facts else None
