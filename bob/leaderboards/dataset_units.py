"""Which datasets of a leaderboard are conditions of one dataset, and count as one.

Statements over datasets treat each dataset as an independent draw. Severities of corruptions,
seeds, folds, perturbation sizes, other metrics (`R@1`, `R@5`) and captions in other languages are
the same images again, which only the names show.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

from bob.datasets.corruptions import CORRUPTION_FAMILIES

T = TypeVar("T")
MIN_CORRUPTIONS = 3
"""So many corruptions without severities count as conditions of one dataset; one or two may be
names of datasets, such as `snow`."""

_ENDS = "_ .:/=()-"
_SEPARATOR = rf"[\s{_ENDS}]"
_LEVEL = r"(?:severity|sev|level|lvl|intensity|strength)"
_NAMES = "|".join(
    name.replace("_", r"[\s_-]?") for family in CORRUPTION_FAMILIES.values() for name in family
)
_CORRUPTION = re.compile(
    rf"(?:^|{_SEPARATOR})(?P<name>{_NAMES})"
    rf"(?:{_SEPARATOR}*(?:{_LEVEL}|s)?{_SEPARATOR}*(?P<severity>[1-5])(?!\d).*|{_SEPARATOR}*)$"
)
"""A corruption at the end of a name or before its severity: `imagenet-c.fog.3_in-memory`."""
_PARAMETER = re.compile(
    rf"(?:^|{_SEPARATOR})+"
    rf"(?:(?:{_LEVEL}|eps|epsilon|pm|seed|fold|run|trial|shots?){_SEPARATOR}*\d+(?:\.\d+)?"
    rf"|\d+{_SEPARATOR}?shots?)(?={_SEPARATOR}|$)"
)
"""A parameter with its number: `_severity_3`, `.eps0.5`, `_pm10`, ` fold 2`, `-5shot`."""
_METRIC = re.compile(
    rf"(?:^|{_SEPARATOR})+(?:(?:image|text|img|txt|i2t|t2i)?{_SEPARATOR}*retr(?:ieval)?"
    rf"{_SEPARATOR}*)?(?:(?:recall|precision|map|mrr|ndcg|hits?|[rp]){_SEPARATOR}*@{_SEPARATOR}*\d+"
    rf"|(?:top|acc){_SEPARATOR}*@?{_SEPARATOR}*\d|(?:mean_per_class_)?(?:recall|accuracy|acc)"
    rf"|jaccard(?:{_SEPARATOR}score)?(?:{_SEPARATOR}\d+(?:-\d+)?)?"
    rf"|mrr|map|mean_average_precision|auroc|f1)(?={_SEPARATOR}|$)"
)
"""A metric within a name: ` image retr. R@10`, `_top1`, ` accuracy`."""
_LANGUAGE = re.compile(rf"(?:^|{_SEPARATOR})(?:[a-z]{{2}}|fil|quz|zh-cn|[a-z]{{3}}_[a-z]{{4}})$")
"""The code of a language at the end of a name: ` de`, `_eng_latn`."""
MIN_LANGUAGES = 3
"""So many codes of languages after one name count as conditions of one dataset."""

MAX_UNITS = 12
"""Units written out in a note."""


def dataset_units(names: Iterable[str]) -> dict[str, str]:
    """Return the unit of each dataset, by name; datasets of one unit count as one.

    The unit is the name without conditions: `imagenet-c` for `imagenet-c.fog.3_on-disk`, `digits`
    for `digits_seed1`. A dataset without conditions is its own unit.
    """
    lowered = {name: name.lower() for name in sorted(set(names))}
    bare = {name: _without_metrics(text) for name, text in lowered.items()}
    languages = {
        base
        for base, texts in _grouped(bare.values(), lambda text: _LANGUAGE.sub("", text)).items()
        if base and len(texts) >= MIN_LANGUAGES
    }
    bare = {
        name: base if (base := _LANGUAGE.sub("", text)) in languages else text
        for name, text in bare.items()
    }
    corrupted = {name: _CORRUPTION.search(text) for name, text in bare.items()}
    matches = [match for match in corrupted.values() if match]
    corruptions = _grouped(matches, _base, lambda match: re.sub(r"[\s-]", "_", match["name"]))
    stems = {}
    for name, text in bare.items():
        match = corrupted[name]
        if match and (match["severity"] or len(corruptions[_base(match)]) >= MIN_CORRUPTIONS):
            stems[name] = _base(match) or "corruptions"
        elif _PARAMETER.search(text):
            stems[name] = _without_parameters(text)
        elif text != lowered[name]:
            stems[name] = text
    taken = set(stems.values())
    return {
        name: stems.get(name, text if text in taken else name) for name, text in lowered.items()
    }


def _grouped(
    items: Iterable[T], group: Callable[[T], str], value: Callable[[T], object] = lambda item: item
) -> dict[str, set[object]]:
    groups: dict[str, set[object]] = defaultdict(set)
    for item in items:
        groups[group(item)].add(value(item))
    return groups


def _without_metrics(name: str) -> str:
    """Return a name without metrics; unchanged if it is nothing else."""
    return _METRIC.sub("", name).strip(_ENDS) or name


def _base(corrupted: re.Match[str]) -> str:
    return _without_parameters(corrupted.string[: corrupted.start()])


def _without_parameters(name: str) -> str:
    """Return a name without parameters; of a name that is nothing else, the parameter's name."""
    stem = _PARAMETER.sub("", name).strip(_ENDS)
    return stem or re.sub(r"[\d.]+", "", name).strip(_ENDS)


def condition_note(names: Iterable[str]) -> str:
    """Return which datasets count as one, as a sentence; empty if each is its own unit."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, unit in dataset_units(names).items():
        groups[unit].append(name)
    texts = [
        f"{unit} ({len(members)}: {members[0]}, {members[1]}{', ...' if members[2:] else ''})"
        for unit, members in sorted(groups.items())
        if len(members) > 1
    ]
    if not texts:
        return ""
    more = len(texts) - MAX_UNITS
    if more > 1:
        texts = [*texts[:MAX_UNITS], f"{more} more"]
    return f"Conditions of the same images count as one dataset: {'; '.join(texts)}."
