"""The report on a dataset as text, for the terminal and the page."""

from collections.abc import Iterator, Mapping, Sequence

from bob.datasets.listing import tally
from bob.records.data_report import ClassSize, DataReport, SplitReport

TRAIT_TEXT = {
    "alpha": "with an alpha channel",
    "deep": "with more than 8 bits per channel, scaled to 8",
    "animated": "with several frames or pages, of which the first is used",
    "cmyk": "in CMYK, converted without a colour profile",
    "turned": "rotated or mirrored by EXIF, turned upright",
    "unreadable": "unreadable",
    "cut": "cut short",
}
"""Kind of image → how it is counted; kinds that are not here are not mentioned."""


def summary_line(name: str, report: DataReport) -> str:
    """Return what a dataset consists of on one line."""
    sizes = ", ".join(f"{split} {of.images:,}" for split, of in report.splits.items())
    parts = [f"{_counted(report.images, 'image')}{_classes_text(report)}"]
    parts.append(f"{sizes} ({report.split_source})")
    if report.groups:
        parts.append(_counted(report.groups, "group"))
    return f"data {name}: {'; '.join(parts)}"


def report_facts(report: DataReport) -> list[tuple[str, str]]:
    """Return the facts of a report as names and texts, without those that say nothing."""
    return [(name, text) for name, text in _facts(report) if text]


def _classes_text(report: DataReport) -> str:
    if not report.smallest:
        return ""
    least, most = report.smallest[0].images, report.largest[0].images
    each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return f" of {report.classes:,} {'class' if report.classes == 1 else 'classes'} ({each} each)"


def _facts(report: DataReport) -> Iterator[tuple[str, str]]:
    yield "images", f"{report.images:,}{_classes_text(report)}"
    yield "splits", report.split_source
    for name, split in report.splits.items():
        yield name, _split_text(split)
    if report.classes > 2:
        yield "smallest", _sizes_text(report.smallest)
        yield "largest", _sizes_text(report.largest)
    if report.groups and report.largest_group:
        group = report.largest_group
        yield "groups", f"{report.groups:,}; the largest, {group.name!r}, has {group.images:,}"
    for shared in report.shared:
        are = "is" if shared.images == 1 else "are"
        yield "repeated", f"{shared.images:,} of {shared.split} {are} also in {shared.other}"
    for conflict in report.conflicts:
        pairs = zip(conflict.images, conflict.labels, strict=True)
        yield "two labels", " = ".join(f"{image!r} ({label})" for image, label in pairs)
    if report.conflicting_contents > len(report.conflicts):
        yield "two labels", f"{report.conflicting_contents:,} different images in all"
    yield from _unreadable(report.splits)
    yield "not read", tally(report.unread)


def _split_text(split: SplitReport) -> str:
    parts = [_counted(split.images, "image")]
    if split.smallest and split.largest:
        parts.append(
            f"{split.classes:,} {'class' if split.classes == 1 else 'classes'} of "
            f"{split.smallest.images:,} ({split.smallest.name}) to "
            f"{split.largest.images:,} ({split.largest.name})"
        )
    if split.duplicates:
        parts.append(f"{split.duplicates:,} repeated")
    parts += [
        f"{split.traits[kind]:,} {text}"
        for kind, text in TRAIT_TEXT.items()
        if kind in split.traits
    ]
    return "; ".join(parts)


def _unreadable(splits: Mapping[str, SplitReport]) -> Iterator[tuple[str, str]]:
    for name, split in splits.items():
        for trait, label, ids in (
            ("unreadable", "unreadable", split.unreadable),
            ("cut", "cut short", split.cut),
        ):
            if ids:
                more = split.traits[trait] - len(ids)
                text = ", ".join(map(repr, ids))
                yield label, f"{name}: {text}{f' and {more:,} more' if more else ''}"


def _sizes_text(sizes: Sequence[ClassSize]) -> str:
    return ", ".join(f"{size.name} {size.images:,}" for size in sizes)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
