"""`bob-bench datasets`: what an entry says, whether the data is as it says, downloads, and disk use."""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bob.catalogue.dataset_facts import counts, facts, place, weight
from bob.datasets.availability import (
    arrow_folder,
    dataset_unavailable_reason,
    hub_repository_folder,
)
from bob.errors import FAILED, OK, BobError, UnavailableError
from bob.io.paths import default_cache
from bob.registry import Registry, Selected, dataset_labels, load_registry, select
from bob.specs import DatasetSpec, HuggingFaceSource, RepositorySource, WebDatasetSource

if TYPE_CHECKING:
    from bob.datasets.dataset import Dataset
    from bob.datasets.leakage import SplitOverlap

GB = 1e9


def run(arguments: argparse.Namespace) -> int:
    """One of show, check, prefetch, verify, disk, remove for the datasets that are named; or the page of facts of all."""
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    chosen = select(arguments.names, registry.datasets, "dataset", dataset_labels)
    return {
        "show": _show,
        "check": _check,
        "prefetch": _prefetch,
        "verify": _verify,
        "disk": _disk,
        "remove": _remove,
        "page": _page,
    }[arguments.what](arguments, registry, chosen)


def _page(_: argparse.Namespace, registry: Registry, __: Sequence[Selected[DatasetSpec]]) -> int:
    from bob.catalogue.datasets import page

    sys.stdout.write(page(registry.datasets))
    return OK


def _show(_: argparse.Namespace, registry: Registry, chosen: Sequence[Selected[DatasetSpec]]) -> int:
    for one in chosen:
        _say(one.spec.name)
        for name, words in facts(one.spec):
            if words:
                _say(f"  {name:<11}{words}")
        _say(f"  {'here':<11}{dataset_unavailable_reason(one.spec) or 'yes'}")
    return OK


def _check(
    arguments: argparse.Namespace, registry: Registry, chosen: Sequence[Selected[DatasetSpec]]
) -> int:
    """Opens each: classes, counts, notes, images in two splits."""
    from bob.datasets.leakage import all_splits, image_signatures, split_overlaps

    bad = 0
    for spec, dataset in _opened(arguments, registry, chosen):
        bad += dataset is None
        if dataset is None:
            continue
        _say(
            f"{spec.name}: {_sizes(dataset)}: {'as declared' if spec.counts or spec.images else 'nothing is declared'}"
        )
        if spec.download:
            _say(f"  download: {weight(spec)}")
        for note in dataset.notes:
            _say(f"  note: {note}")
        splits = all_splits(dataset)
        seen = (
            {name: image_signatures(split, arguments.workers) for name, split in splits.items()}
            if arguments.images
            else None
        )
        for leak in split_overlaps(dataset, seen):
            _say(f"  {_words(leak)}")
        for name, known in (seen or {}).items():
            if unread := int((~known.readable).sum()):
                bad += 1
                _say(f"  {unread} images of {name} cannot be read")
    return FAILED if bad else OK


def _words(leak: "SplitOverlap") -> str:
    near = "" if leak.near_duplicates is None else f", {leak.near_duplicates} nearly so"
    examples = "".join(f"\n    {one} ~ {other}" for one, other in leak.examples)
    return f"{leak.identical} images of {leak.split} are byte-identical to images of {leak.reference}{near}{examples}"


def _prefetch(
    arguments: argparse.Namespace, registry: Registry, chosen: Sequence[Selected[DatasetSpec]]
) -> int:
    """Downloads, and indexes, what is not here, after telling how much that is; on a terminal it asks first."""
    if not _agreed(arguments, chosen):
        _say("Nothing was downloaded.")
        return OK
    bad = 0
    for spec, dataset in _opened(arguments, registry, chosen):
        bad += dataset is None
        if dataset is not None:
            _say(f"{spec.name}: {_sizes(dataset)}, {_bytes(spec, _cache(arguments)) / GB:.2f} GB")
    return FAILED if bad else OK


def _agreed(arguments: argparse.Namespace, chosen: Sequence[Selected[DatasetSpec]]) -> bool:
    """Says how much is to be fetched, repositories that several entries use once; asks where a person can answer."""
    from bob.datasets.readers.downloads import download_bytes

    absent = [
        one.spec
        for one in chosen
        if isinstance(one.spec.source, RepositorySource)
        and one.spec.source.hub
        and dataset_unavailable_reason(one.spec)
    ]
    sizes = {
        place(spec): download_bytes(spec, _cache(arguments), arguments.offline) for spec in absent
    }
    if not sizes or arguments.offline:
        return True
    known = sum(size for size in sizes.values() if size)
    unknown = sum(size is None for size in sizes.values())
    more = f", and {unknown} of unknown size" if unknown else ""
    _say(
        f"to download: about {known / GB:.2f} GB of {len(sizes)} {'repository' if len(sizes) == 1 else 'repositories'}{more}"
    )
    if arguments.yes or not sys.stdin.isatty():
        return True
    sys.stdout.write("Go on? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _verify(
    arguments: argparse.Namespace, registry: Registry, chosen: Sequence[Selected[DatasetSpec]]
) -> int:
    """Counts of what is here, without a network, beside those declared."""
    arguments.offline = True
    bad = 0
    for one in chosen:
        if reason := dataset_unavailable_reason(one.spec):
            _say(f"{one.spec.name}: not here, not verified ({reason})")
            bad += one.exact
            continue
        for spec, dataset in _opened(arguments, registry, [one]):
            bad += dataset is None
            if dataset is not None:
                _say(f"{spec.name}: {_sizes(dataset)}; declared: {counts(spec) or 'nothing'}")
    return FAILED if bad else OK


def _disk(
    arguments: argparse.Namespace, registry: Registry, chosen: Sequence[Selected[DatasetSpec]]
) -> int:
    """Bytes of what was downloaded and prepared."""
    sizes = [(_bytes(one.spec, _cache(arguments)), one.spec.name) for one in chosen]
    for size, name in sorted(sizes, reverse=True):
        if size:
            _say(f"{size / GB:8.2f} GB  {name}")
    shared = {path for one in chosen for path in _folders(one.spec, _cache(arguments))}
    _say(
        f"{sum(_size(path) for path in shared) / GB:8.2f} GB  in all (data that several entries use counts once)"
    )
    own = _cache(arguments)
    for name in ("fingerprints", "tars", "parquet", "arrays", "shards", "repositories"):
        if size := _size(own / name):
            _say(f"{size / GB:8.2f} GB  {own / name}")
    return OK


def _remove(
    arguments: argparse.Namespace, registry: Registry, chosen: Sequence[Selected[DatasetSpec]]
) -> int:
    """Removes what was downloaded and prepared; never a local copy that was laid there by hand."""
    names = {one.spec.name for one in chosen}
    for path in sorted(
        {path for one in chosen for path in _folders(one.spec, _cache(arguments)) if path.exists()}
    ):
        users = sorted(
            spec.name
            for spec in registry.datasets.values()
            if path in _folders(spec, _cache(arguments)) and spec.name not in names
        )
        also = f" (also used by {', '.join(users)})" if users else ""
        _say(
            f"{'removed' if arguments.yes else 'would remove'} {path}, {_size(path) / GB:.2f} GB{also}"
        )
        if arguments.yes:
            shutil.rmtree(path)
    if not arguments.yes:
        _say("Nothing was removed. Add --yes to do it.")
    return OK


def _opened(
    arguments: argparse.Namespace, registry: Registry, chosen: Sequence[Selected[DatasetSpec]]
) -> Iterator[tuple[DatasetSpec, "Dataset | None"]]:
    """Each dataset, None where it is wrong. One that cannot be had here is an error where its own name was typed, else it is passed over."""
    from bob.datasets.open import open_dataset

    for one in chosen:
        try:
            yield (
                one.spec,
                open_dataset(one.spec, _cache(arguments), arguments.offline, registry.datasets),
            )
        except BobError as error:
            _say(f"{one.spec.name}: {error}")
            if one.exact or not isinstance(error, UnavailableError):
                yield one.spec, None


def _sizes(dataset: "Dataset") -> str:
    several = [
        *dataset.splits.items(),
        *((name, shift.split) for name, shift in dataset.shifts.items()),
    ]
    return f"{len(dataset.classes)} classes, " + ", ".join(
        f"{name} {len(split):,}" for name, split in several
    )


def _folders(spec: DatasetSpec, cache: Path) -> list[Path]:
    """Where the libraries keep what they downloaded and prepared of it, and where its files lie that are kept for a while."""
    from bob.datasets.readers.repository import streaming_folders

    source = spec.source
    if not isinstance(source, RepositorySource) or not source.hub:
        return []
    folders = [hub_repository_folder(source.hub), *streaming_folders(cache, source)]
    if isinstance(source, WebDatasetSource):
        return folders
    arrow = arrow_folder(source.hub)
    return [
        *folders,
        arrow / source.config if isinstance(source, HuggingFaceSource) and source.config else arrow,
    ]


def _bytes(spec: DatasetSpec, cache: Path) -> int:
    return sum(_size(path) for path in _folders(spec, cache))


def _size(folder: Path) -> int:
    """Bytes of the files below, links not followed."""
    return sum(
        path.lstat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def _cache(arguments: argparse.Namespace) -> Path:
    cache: Path | None = arguments.cache_dir
    return cache or default_cache()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
