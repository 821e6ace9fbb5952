"""`bob-bench datasets`: show, check, download and remove registered datasets.

Does not import torch.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bob.catalogue.dataset_facts import data_source, dataset_facts, download_size, image_counts
from bob.commands.arguments import data_options
from bob.commands.terminal import Terminal
from bob.datasets.availability import (
    arrow_folder,
    dataset_unavailable_reason,
    hub_repository_folder,
)
from bob.errors import FAILED, OK, BobError, ConfigError, UnavailableError
from bob.io.paths import default_cache, user_path
from bob.registry import (
    Registry,
    Selected,
    dataset_labels,
    load_registry,
    local_datasets,
    select,
)
from bob.specs import DatasetSpec, HuggingFaceSource, RepositorySource, WebDatasetSource

if TYPE_CHECKING:
    from bob.datasets.dataset import Dataset
    from bob.datasets.leakage import SplitOverlap

GB = 1e9
CACHE_FOLDERS = (
    "fingerprints",
    "tars",
    "parquet",
    "arrays",
    "prepared",
    "shards",
    "repositories",
)
"""Folders of the cache that hold what was derived from datasets."""


@dataclass(frozen=True)
class Context:
    """The selected datasets, and everything that the actions share."""

    terminal: Terminal
    registry: Registry
    selected: Sequence[Selected[DatasetSpec]]
    cache: Path
    offline: bool
    json: bool
    """Whether standard output is for JSON alone."""

    @property
    def specs(self) -> list[DatasetSpec]:
        return [entry.spec for entry in self.selected]


def run(arguments: argparse.Namespace) -> int:
    """Run one action on the selected datasets.

    Returns FAILED if a dataset is wrong, or if one that was named exactly is unavailable.
    """
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    context = Context(
        terminal=Terminal(),
        registry=registry,
        selected=_selected(arguments, registry),
        cache=arguments.cache_dir or default_cache(),
        offline=arguments.offline or arguments.what == "verify",
        json=arguments.json,
    )
    actions = {
        "show": _show,
        "check": _check,
        "prefetch": _prefetch,
        "verify": _verify,
        "disk": _disk,
        "remove": _remove,
        "page": _page,
    }
    return actions[arguments.what](context, arguments)


def _selected(arguments: argparse.Namespace, registry: Registry) -> list[Selected[DatasetSpec]]:
    """Return the datasets that are named, or those at a path to check."""
    names = arguments.names
    is_path = names not in registry.datasets and user_path(names).exists()
    if arguments.json and arguments.what != "check":
        raise ConfigError("--json belongs to `datasets check`, whose reports it prints.")
    options = data_options(arguments)
    if is_path and arguments.what == "check":
        return local_datasets([names], registry, options)
    if stated := [name for option in options for name in option.stated()]:
        flag = stated[0].replace("_", "-")
        raise ConfigError(f"--{flag} belongs to `datasets check PATH`, your own images.")
    return select(names, registry.datasets, "dataset", dataset_labels)


def _page(context: Context, _: argparse.Namespace) -> int:
    from bob.catalogue.datasets import dataset_page

    context.terminal.write(dataset_page(context.registry.datasets))
    return OK


def _show(context: Context, _: argparse.Namespace) -> int:
    for spec in context.specs:
        context.terminal.write_line(spec.name)
        available = dataset_unavailable_reason(spec) or "yes"
        for name, text in (*dataset_facts(spec), ("available", available)):
            if text:
                context.terminal.write_line(f"  {name:<11}{text}")
    return OK


def _check(context: Context, arguments: argparse.Namespace) -> int:
    """Open each dataset, and print its report; with --images also what decoding finds."""
    if arguments.json:
        return _print_reports(context)
    failures = 0
    for spec, dataset in _open_each(context, context.selected):
        if dataset is None:
            failures += 1
        else:
            failures += _check_dataset(context.terminal, spec, dataset, arguments)
    return FAILED if failures else OK


def _print_reports(context: Context) -> int:
    """Print the reports as one JSON object, by name of the dataset."""
    from bob.datasets.report import data_report

    reports, failures = {}, 0
    for spec, dataset in _open_each(context, context.selected):
        if dataset is None:
            failures += 1
        else:
            report = data_report(dataset, spec).model_dump(mode="json")
            reports[spec.name] = {**report, "notes": list(dataset.notes)}
    context.terminal.write_line(json.dumps(reports, indent=1, ensure_ascii=False))
    return FAILED if failures else OK


def _check_dataset(
    terminal: Terminal, spec: DatasetSpec, dataset: "Dataset", arguments: argparse.Namespace
) -> int:
    """Print the results for one dataset, and return the number of splits with unreadable images."""
    from bob.datasets.leakage import all_splits, image_signatures, split_overlaps
    from bob.datasets.report import data_report
    from bob.leaderboards.render.data_report import report_facts

    declared = ": as declared" if spec.counts or spec.images else ""
    terminal.write_line(f"{spec.name}: {_size_text(dataset)}{declared}")
    if spec.download:
        terminal.write_line(f"  download: {download_size(spec)}")
    for name, text in report_facts(data_report(dataset, spec)):
        terminal.print_indented(f"  {name:<10} {text}")
    for note in dataset.notes:
        terminal.print_indented(f"  note: {note}")
    signatures = None
    if arguments.images:
        signatures = {
            name: image_signatures(split, arguments.workers)
            for name, split in all_splits(dataset).items()
        }
    for overlap in split_overlaps(dataset, signatures):
        terminal.write_line(f"  {_overlap_text(overlap)}")
    failures = 0
    for name, of_split in (signatures or {}).items():
        if unreadable := int((~of_split.readable).sum()):
            failures += 1
            terminal.write_line(f"  {unreadable} images of {name} are unreadable")
    return failures + (_check_targets(terminal, dataset, arguments) if arguments.images else 0)


def _check_targets(terminal: Terminal, dataset: "Dataset", arguments: argparse.Namespace) -> int:
    """Print what is wrong with masks, depth maps, boxes, points; return in how many splits."""
    from bob.datasets.leakage import all_splits
    from bob.datasets.target_problems import PROBLEMS_NAMED, target_problems

    failures = 0
    for name, split in all_splits(dataset).items():
        if problems := target_problems(split, arguments.workers):
            failures += 1
            images = "1 image" if len(problems) == 1 else f"{len(problems):,} images"
            more = (
                "" if len(problems) <= PROBLEMS_NAMED else f", of which {PROBLEMS_NAMED} are named"
            )
            terminal.write_line(f"  {images} of {name} cannot be used for dense tasks{more}:")
            for problem in problems[:PROBLEMS_NAMED]:
                terminal.print_indented(f"    {problem}")
    return failures


def _overlap_text(overlap: "SplitOverlap") -> str:
    near_duplicates = ""
    if overlap.near_duplicates is not None:
        near_duplicates = f", {overlap.near_duplicates} more are near-duplicates"
    examples = "".join(f"\n    {one} ~ {other}" for one, other in overlap.examples)
    return (
        f"{overlap.identical} images of {overlap.split} are byte-identical to images of "
        f"{overlap.reference}{near_duplicates}{examples}"
    )


def _prefetch(context: Context, arguments: argparse.Namespace) -> int:
    """Download and index what is missing, after printing its size and asking for confirmation."""
    if not _confirm_download(context, ask=not arguments.yes and sys.stdin.isatty()):
        context.terminal.write_line("Nothing was downloaded.")
        return OK
    failures = 0
    for spec, dataset in _open_each(context, context.selected):
        if dataset is None:
            failures += 1
        else:
            size = _total_bytes(_folders(spec, context.cache))
            line = f"{spec.name}: {_size_text(dataset)}, {size / GB:.2f} GB"
            context.terminal.write_line(line)
    return FAILED if failures else OK


def _confirm_download(context: Context, *, ask: bool) -> bool:
    """Print how much will be downloaded, and return whether to go ahead.

    A repository that several entries use counts once.
    """
    from bob.datasets.readers.downloads import download_bytes

    sizes = {
        data_source(spec): download_bytes(spec, context.cache, context.offline)
        for spec in context.specs
        if isinstance(spec.source, RepositorySource)
        and spec.source.hub
        and dataset_unavailable_reason(spec)
    }
    if not sizes or context.offline:
        return True
    total = sum(size for size in sizes.values() if size)
    unknown = sum(size is None for size in sizes.values())
    repositories = "repository" if len(sizes) == 1 else "repositories"
    context.terminal.write_line(
        f"to download: about {total / GB:.2f} GB from {len(sizes)} {repositories}"
        + (f", and {unknown} of unknown size" if unknown else "")
    )
    return not ask or context.terminal.confirm("Continue?")


def _verify(context: Context, _: argparse.Namespace) -> int:
    """Print the counts of datasets on this machine beside the declared ones, without a network."""
    failures = 0
    for entry in context.selected:
        if reason := dataset_unavailable_reason(entry.spec):
            context.terminal.write_line(f"{entry.spec.name}: not here, not verified ({reason})")
            failures += entry.exact
            continue
        for spec, dataset in _open_each(context, [entry]):
            if dataset is None:
                failures += 1
            else:
                declared = image_counts(spec) or "nothing"
                line = f"{spec.name}: {_size_text(dataset)}; declared: {declared}"
                context.terminal.write_line(line)
    return FAILED if failures else OK


def _disk(context: Context, _: argparse.Namespace) -> int:
    """Print the disk usage of downloaded and derived files."""
    folders = {spec.name: _folders(spec, context.cache) for spec in context.specs}
    sizes = [(_total_bytes(paths), name) for name, paths in folders.items()]
    for size, name in sorted(sizes, reverse=True):
        if size:
            context.terminal.write_line(_disk_line(size, name))
    distinct = {path for paths in folders.values() for path in paths}
    total = _disk_line(
        _total_bytes(distinct), "in total (files that several entries use count once)"
    )
    context.terminal.write_line(total)
    for name in CACHE_FOLDERS:
        if size := _folder_bytes(context.cache / name):
            context.terminal.write_line(_disk_line(size, str(context.cache / name)))
    return OK


def _disk_line(size: int, name: str) -> str:
    return f"{size / GB:8.2f} GB  {name}"


def _remove(context: Context, arguments: argparse.Namespace) -> int:
    """Remove downloaded and prepared files, but never a local copy that the user put there."""
    names = {spec.name for spec in context.specs}
    others = [spec for spec in context.registry.datasets.values() if spec.name not in names]
    paths = {path for spec in context.specs for path in _folders(spec, context.cache)}
    for path in sorted(path for path in paths if path.exists()):
        users = sorted(spec.name for spec in others if path in _folders(spec, context.cache))
        action = "removed" if arguments.yes else "would remove"
        also = f" (also used by {', '.join(users)})" if users else ""
        size = _folder_bytes(path) / GB
        context.terminal.write_line(f"{action} {path}, {size:.2f} GB{also}")
        if arguments.yes:
            shutil.rmtree(path)
    if not arguments.yes:
        context.terminal.write_line("Nothing was removed. Add --yes to remove these files.")
    return OK


def _open_each(
    context: Context, entries: Sequence[Selected[DatasetSpec]]
) -> Iterator[tuple[DatasetSpec, "Dataset | None"]]:
    """Yield each dataset, or None after printing why it fails.

    A dataset that is unavailable fails if it was named exactly, and is skipped otherwise.
    """
    from bob.datasets.open import open_dataset

    for entry in entries:
        spec = entry.spec
        try:
            dataset = open_dataset(spec, context.cache, context.offline, context.registry.datasets)
        except BobError as error:
            report = context.terminal.note if context.json else context.terminal.write_line
            report(f"{spec.name}: {error}")
            if entry.exact or not isinstance(error, UnavailableError):
                yield spec, None
        else:
            yield spec, dataset


def _size_text(dataset: "Dataset") -> str:
    """Return the number of classes, where there are any, and of the images of each split."""
    splits = [
        *dataset.splits.items(),
        *((name, shift.split) for name, shift in dataset.shifts.items()),
    ]
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in splits)
    if not dataset.classes:  # of depth and correspondence
        return sizes
    noun = "class" if len(dataset.classes) == 1 else "classes"
    return f"{len(dataset.classes):,} {noun}, {sizes}"


def _folders(spec: DatasetSpec, cache: Path) -> list[Path]:
    """Return the folders of downloaded, prepared and temporarily kept files of a dataset."""
    from bob.datasets.readers.repository import cached_streaming_folders

    source = spec.source
    if not isinstance(source, RepositorySource) or not source.hub:
        return []
    folders = [hub_repository_folder(source.hub), *cached_streaming_folders(cache, source)]
    if isinstance(source, WebDatasetSource):
        return folders
    arrow = arrow_folder(source.hub)
    if isinstance(source, HuggingFaceSource) and source.config:
        arrow /= source.config
    return [*folders, arrow]


def _total_bytes(folders: "Sequence[Path] | set[Path]") -> int:
    return sum(map(_folder_bytes, folders))


def _folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder, without following links."""
    return sum(
        path.lstat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
