"""A record as text for people: what was measured, on what, how, at what cost, and where."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bob.io.text import short_count, short_number
from bob.leaderboards.render.text import MISSING, caveats_of, score_text, value_text
from bob.records.record import Record, Score

INDENT = "  "
_MOST_SCORES = 60
_DETAILS_LEFT_OUT = frozenset({"seed", "caveats"})
_NAME_WIDTH = 14


def record_lines(record: Record) -> Iterator[str]:
    """Yield the lines of a record, section by section; the caller wraps them."""
    yield f"{record.task.name} on {record.dataset_name}: {record.backbone_name}"
    if record.status == "ok":
        yield from _headline(record)
    else:
        yield f"{INDENT}{record.status.replace('_', ' ')}: {record.reason}"
    for title, facts in (
        ("backbone", _backbone(record)),
        ("data", _dataset(record)),
        ("task", _task(record)),
        ("cost", _cost(record)),
        ("provenance", _provenance(record)),
    ):
        lines = [(name, value) for name, value in facts if value]
        if lines:
            yield ""
            yield title
        for name, value in lines:
            yield f"{INDENT}{name:<{_NAME_WIDTH}}{value}"


def notes_of(record: Record) -> list[str]:
    """Return the notes on the data and the backbone, and the caveats of the fit."""
    notes = [f"data: {note}" for note in (record.dataset.notes if record.dataset else ())]
    notes += [f"backbone: {note}" for note in (record.backbone.notes if record.backbone else ())]
    notes += [f"task: {caveat}" for caveat in caveats_of(record)]
    return list(dict.fromkeys(notes))


def _headline(record: Record) -> Iterator[str]:
    """Yield the ranking metric first, then the others, with what a useless classifier has."""
    first = record.task.metrics[0]
    ordered = sorted(record.scores, key=lambda score: score.metric != first)
    names = [_score_name(score, record) for score in ordered[:_MOST_SCORES]]
    width = max(map(len, names), default=0)
    for name, score in zip(names, ordered, strict=False):
        yield f"{INDENT}{name:<{width}}  {_score(score)}"
    if (more := len(ordered) - _MOST_SCORES) > 0:
        yield f"{INDENT}{more} more scores; --json has all"


def headline_text(record: Record) -> str:
    """Return the ranking metric with its value, such as `top1 85.4 % [84.0–86.7], n 80`.

    Of several seeds, each one's.
    """
    first = record.task.metrics[0]
    scores = [score for score in record.scores if score.metric == first]
    return "; ".join(f"{_score_name(score, record)} {_score(score)}" for score in scores)


def _score_name(score: Score, record: Record) -> str:
    seed = f" (seed {score.seed})" if len(record.seeds) > 1 and score.seed is not None else ""
    return f"{score.metric}{seed}"


def _score(score: Score) -> str:
    if score.value is None:
        return f"undefined: {score.undefined}" if score.undefined else "undefined"
    text = score_text(score)
    if score.n is not None:
        text += f", n {score.n:,}"
    if score.majority is not None:
        text += f", majority class {value_text(score.metric, score.majority)}"
    return text


def _backbone(record: Record) -> list[tuple[str, str]]:
    facts = record.backbone
    if facts is None:
        return []
    params = "" if facts.params is None else f"{short_count(facts.params)} parameters"
    gflops = "" if facts.gflops is None else f"{facts.gflops:.2f} GFLOPs"
    return [
        ("architecture", f"{facts.architecture} ({facts.loader}, {facts.family})"),
        ("weights", f"{facts.weights}, hash {facts.weights_hash[:12]}"),
        ("output", f"{facts.output}, {facts.width} values, {facts.precision}"),
        ("pixels", _mapping(facts.geometry)),
        ("normalisation", _mapping(facts.normalisation)),
        ("size", ", ".join(filter(None, [params, gflops]))),
        ("licence", facts.licence or ""),
        ("paper", facts.paper or ""),
    ]


def _dataset(record: Record) -> list[tuple[str, str]]:
    facts = record.dataset
    if facts is None:
        return []
    counts = ", ".join(f"{name} {count:,}" for name, count in facts.counts.items())
    bad = ", ".join(f"{name} {len(reasons)}" for name, reasons in facts.bad_images.items())
    return [
        ("images", f"{counts}; {facts.classes} classes"),
        ("splits", facts.report.split_source if facts.report else _mapping(facts.split_origin)),
        ("limit", f"{facts.limit} images per split" if facts.limit else ""),
        ("unreadable", f"{bad}, left out" if bad else ""),
        ("background", f"{facts.alpha} (transparent images)" if facts.alpha else ""),
        ("normal", ", ".join(facts.normal)),
        ("licence", facts.licence or ""),
        ("fingerprint", facts.fingerprint),
    ]


def _task(record: Record) -> list[tuple[str, str]]:
    task = record.task
    lines = [
        ("protocol", f"{task.protocol}, version {task.version} of the task"),
        ("settings", _mapping(task.settings)),
    ]
    for details in record.details:
        chosen = {name: value for name, value in details.items() if name not in _DETAILS_LEFT_OUT}
        seed = f"seed {details['seed']}" if details.get("seed") is not None else "found"
        lines.append((seed, _mapping(chosen)))
    return lines


def _cost(record: Record) -> list[tuple[str, str]]:
    cost = record.cost
    if cost is None:
        return []
    device = " ".join(filter(None, [cost.device, cost.device_name and f"({cost.device_name})"]))
    runtime = f", {cost.runtime}, batch {cost.batch_size}" if cost.runtime else ""
    speed = (
        f"{short_number(cost.images_per_s)} images/s forward"
        if cost.images_per_s is not None
        else ""
    )
    spent = [
        f"{seconds:.1f} s {what}"
        for seconds, what in (
            (cost.decode_seconds, "decoding"),
            (cost.forward_seconds, "forward"),
            (cost.probe_seconds, "task"),
        )
        if seconds is not None
    ]
    plural = "" if cost.threads == 1 else "s"
    return [
        ("device", f"{device}, {cost.threads} thread{plural}{runtime}"),
        ("speed", speed),
        ("time", ", ".join(spent)),
    ]


def _provenance(record: Record) -> list[tuple[str, str]]:
    values = record.provenance
    libraries = values.get("libraries")
    git = values.get("git")
    commit = str(git.get("commit"))[:12] if isinstance(git, Mapping) else ""
    modified = ", modified" if isinstance(git, Mapping) and git.get("modified") else ""
    return [
        ("record", record.key),
        ("created", str(values.get("created") or "")),
        ("bob-bench", f"{values.get('bob', MISSING)} {f'({commit}{modified})' if commit else ''}"),
        ("system", f"{values.get('system', MISSING)}, Python {values.get('python', MISSING)}"),
        ("libraries", _mapping(libraries) if isinstance(libraries, Mapping) else ""),
    ]


def _mapping(values: Mapping[str, Any]) -> str:
    """Return a mapping as text: `k 5, metric cosine`; nested values in brackets."""
    return ", ".join(
        f"{name} {_value(value)}" for name, value in values.items() if value not in (None, {}, [])
    )


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return f"({_mapping(value)})"
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return " ".join(map(_value, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
