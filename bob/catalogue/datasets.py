"""The facts of all registered datasets as a Markdown page: `bob-bench datasets page > docs/dataset_table.md`."""

from collections.abc import Iterator, Mapping, Sequence

from bob.catalogue.dataset_facts import counts, facts, place, weight
from bob.specs import DatasetSpec

_HEAD = """# Datasets by name

This page is generated from `tasks/datasets.yaml` by `bob-bench datasets page`. What is left out is not stated by the sources that were read;
nothing is guessed. Classes and images are checked when a dataset is opened. [datasets.md](datasets.md) tells how data is read and split.
"""
_SHOWN_BELOW = ("evaluation", "shifts", "licence", "gated", "download", "paper", "obtain", "mind")


def page(datasets: Mapping[str, DatasetSpec]) -> str:
    """A table for each first group, and below it what does not fit into one."""
    groups = list(dict.fromkeys(spec.groups[0] for spec in datasets.values() if spec.groups))
    parts = [_HEAD, _counted(datasets)]
    parts += [
        _section(group, [spec for spec in datasets.values() if spec.groups[:1] == (group,)])
        for group in groups
    ]
    return "\n".join(parts)


def _counted(datasets: Mapping[str, DatasetSpec]) -> str:
    groups = sorted({group for spec in datasets.values() for group in spec.groups})
    sizes = [
        f"`group:{group}` {sum(group in spec.groups for spec in datasets.values())}"
        for group in groups
    ]
    weighed = sum(spec.download is not None for spec in datasets.values())
    about = f"of {weighed} a source says how large the download is"
    return f"{len(datasets)} entries; {about}. Groups, which overlap: {', '.join(sizes)}.\n"


def _section(group: str, specs: Sequence[DatasetSpec]) -> str:
    rows = [
        "| name | what | classes | images | download | metric | from |",
        "|---|---|---:|---|---|---|---|",
    ]
    rows += [f"| [`{spec.name}`](#{spec.name}) | {' | '.join(_cells(spec))} |" for spec in specs]
    return "\n".join(
        [f"## {group}\n", *rows, "", *(line for spec in specs for line in _details(spec))]
    )


def _cells(spec: DatasetSpec) -> Iterator[str]:
    classes = f"{spec.classes:,}" if spec.classes else ""
    for cell in (
        spec.summary,
        classes,
        counts(spec),
        weight(spec).partition(" (")[0],
        spec.metric or "",
        f"`{place(spec)}`",
    ):
        yield cell.replace("|", "\\|")


def _details(spec: DatasetSpec) -> Iterator[str]:
    yield f"### {spec.name}\n"
    for name, words in facts(spec):
        if words and name in _SHOWN_BELOW:
            yield f"- {name}: {words}"
    yield ""
