"""The page of all registered datasets, docs/reference/dataset_table.md.

`bob-bench datasets page > docs/reference/dataset_table.md` writes it.
"""

from collections.abc import Iterator, Mapping, Sequence

from bob.catalogue.dataset_facts import data_source, dataset_facts, download_size, image_counts
from bob.specs import DatasetSpec

_HEAD = """# Datasets by name

This page is generated from `tasks/datasets.yaml` by `bob-bench datasets page`. Fields that the
sources consulted do not state are omitted; nothing is guessed. Numbers of classes and images are
checked when a dataset is opened. [datasets.md](datasets.md) explains how data is read and split.
"""
_COLUMNS = ("name", "summary", "classes", "images", "download", "metric", "source")
_ALIGNMENTS = ("---", "---", "---:", "---", "---", "---", "---")
_DETAILS = (
    "evaluation",
    "shifts",
    "licence",
    "gated",
    "download",
    "paper",
    "obtain",
    "caveat",
)
"""Fields that are listed below a table."""


def dataset_page(datasets: Mapping[str, DatasetSpec]) -> str:
    """Return the page in Markdown: per group, a table and a list of details.

    Each dataset is in the section of its first group.
    """
    groups = dict.fromkeys(spec.groups[0] for spec in datasets.values() if spec.groups)
    sections = (
        _section(group, [spec for spec in datasets.values() if spec.groups[:1] == (group,)])
        for group in groups
    )
    return "\n".join([_HEAD, _overview(datasets), *sections])


def _overview(datasets: Mapping[str, DatasetSpec]) -> str:
    groups = sorted({group for spec in datasets.values() for group in spec.groups})
    sizes = ", ".join(
        f"`group:{group}` {sum(group in spec.groups for spec in datasets.values())}"
        for group in groups
    )
    stated = sum(spec.download is not None for spec in datasets.values())
    return (
        f"{len(datasets)} entries, {stated} with a stated download size. "
        f"Groups, which overlap: {sizes}.\n"
    )


def _section(group: str, specs: Sequence[DatasetSpec]) -> str:
    table = [_line(_COLUMNS), _line(_ALIGNMENTS), *(_line(_row(spec)) for spec in specs)]
    details = [line for spec in specs for line in _details(spec)]
    return "\n".join([f"## {group}\n", *table, "", *details])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row(spec: DatasetSpec) -> list[str]:
    cells = (
        spec.summary,
        f"{spec.classes:,}" if spec.classes else "",
        image_counts(spec),
        download_size(spec).partition(" (")[0],
        spec.metric or "",
        f"`{data_source(spec)}`",
    )
    return [f"[`{spec.name}`](#{spec.name})", *(cell.replace("|", "\\|") for cell in cells)]


def _details(spec: DatasetSpec) -> Iterator[str]:
    yield f"### {spec.name}\n"
    for name, text in dataset_facts(spec):
        if text and name in _DETAILS:
            yield f"- {name}: {text}"
    yield ""
