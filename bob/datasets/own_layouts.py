"""The source of your own images: which reader the layout of a path calls for."""

import itertools
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from bob.datasets.readers.local_copy import is_saved
from bob.datasets.readers.table import LABEL_SEPARATOR, header_columns
from bob.datasets.readers.tree import EXTENSIONS, is_hidden, is_parquet
from bob.datasets.split_names import ROLES, SplitChoice
from bob.errors import ConfigError, nearest
from bob.io.paths import is_true, user_path
from bob.specs import (
    CocoSource,
    DataOptions,
    DepthFoldersSource,
    FolderSource,
    HuggingFaceSource,
    MasksSource,
    ParquetSource,
    Role,
    Source,
    TableSource,
)
from bob.specs.data_options import LABEL
from bob.specs.dataset import DatasetKind

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_FOLDERS_SEARCHED = 200
_ENTRIES_SEARCHED = 2_000
_DEPTH_SEARCHED = 3
"""Limits of the search for Parquet files: a dataset has them near its top, beside many images."""


def source_of(
    path: str, place: Path, options: DataOptions
) -> tuple[Source, DatasetKind, DataOptions]:
    """Return the source of a path, the kind of its dataset, and the options that its reader needs.

    `path` is the text of `--data`, `place` the file or folder that it names.
    """
    if options.boxes is not None:
        return _boxes(path, place, options), "object-detection", options
    kind: DatasetKind = "retrieval" if options.retrieve else "classification"
    if place.is_dir() and is_saved(place):
        return _saved(place, options), kind, options
    if place.is_dir() and (paired := _paired(path, place, options)):
        source, dense_kind = paired
        return source, dense_kind, options
    if options.depth is not None:
        raise ConfigError(
            f"--depth says what depth maps hold; --data {path!r} has no folders 'images' and "
            "'depths'."
        )
    if place.is_dir():
        parquet = _parquet_of_images(place)
        if parquet is None:
            return _folder(place, options), kind, options
        return _parquet(place, parquet, options), kind, options
    if options.levels:
        raise ConfigError(f"--levels names levels of folders; {path!r} is a file.")
    if is_parquet(place):
        return _parquet(place, place, options), kind, options
    if place.suffix.lower() == ".csv":
        options = _in_lower_case(options)
        source, table_kind = _table(place, options)
        return source, table_kind if kind == "classification" else kind, options
    raise ConfigError(_unknown_format(path, place.suffix.lower()))


def _boxes(path: str, place: Path, options: DataOptions) -> CocoSource:
    """Return the source of a folder of images whose boxes are in a COCO JSON file."""
    if refused := sorted(set(options.stated()) - {"boxes"}):
        raise ConfigError(
            f"--boxes {options.boxes!r} names the objects of images, to which --{refused[0]} does "
            "not apply."
        )
    if not place.is_dir():
        raise ConfigError(f"--boxes goes with a folder of images; --data {path!r} is a file.")
    inside, elsewhere = place / str(options.boxes), user_path(str(options.boxes)).absolute()
    file = inside if inside.is_file() else elsewhere
    if not file.is_file():
        raise ConfigError(
            f"--boxes {options.boxes!r}: no such file, neither in {path!r} nor from here."
        )
    return CocoSource(reader="coco", path=str(place), annotations={"train": str(file)})


def _paired(
    path: str, place: Path, options: DataOptions
) -> tuple[Source, Literal["segmentation", "depth"]] | None:
    """Return the source of a folder with `images` and `masks` or `depths`; None for another layout.

    ConfigError for options about labels of images, and where --depth is missing.
    """
    targets = [name for name in ("masks", "depths") if (place / name).is_dir()]
    if not targets or not (place / "images").is_dir():
        return None
    if len(targets) == 2:
        raise ConfigError(
            f"--data {path!r} holds masks and depths. Give them in folders of their own, with "
            "links to the same images."
        )
    what, flags = "masks", {"test_split"}
    if targets == ["depths"]:
        what, flags = "depth maps", {"test_split", "depth"}
    if refused := sorted(set(options.stated()) - flags):
        applying = " and ".join(f"--{flag.replace('_', '-')}" for flag in sorted(flags))
        raise ConfigError(
            f"--data {path!r} holds images with {what}, to which --{refused[0]} does not apply; "
            f"only {applying} {'does' if len(flags) == 1 else 'do'}."
        )
    if targets == ["masks"]:
        return MasksSource(reader="masks", path=str(place)), "segmentation"
    if options.depth is None:
        raise ConfigError(
            f"--data {path!r} holds images with depth maps: say with --depth STEPS,LEAST,MOST what "
            "they hold for a metre and which depths count, e.g. --depth 1000,0.1,10 for "
            "millimetres."
        )
    per_metre, *range_m = options.depth
    source = {"reader": "depth_folders", "path": str(place)}
    scale = {"per_metre": per_metre, "range_m": range_m}
    return DepthFoldersSource.model_validate(source | scale), "depth"


def _in_lower_case(options: DataOptions) -> DataOptions:
    """Return the options with column names as tables are read: in lower case."""
    plain = options.model_dump()
    for side in ("train", "val", "test", "shift"):
        plain[side] = {name.lower(): values for name, values in plain[side].items()}
    for name in ("label", "group", "retrieve"):
        plain[name] = plain[name] and plain[name].lower()
    return DataOptions.model_validate(plain)


def _unknown_format(path: str, suffix: str) -> str:
    got = f"a {suffix} file" if suffix else "a file without extension"
    remedy = (
        "Unpack the archive first."
        if suffix in _ARCHIVES
        else "For other layouts, write an entry in a datasets.yaml (docs/reference/datasets.md)."
    )
    return (
        f"--data {path!r}: expected a folder of class folders, a .csv table or .parquet files; "
        f"got {got}. {remedy}"
    )


def _folder(place: Path, options: DataOptions) -> FolderSource:
    """Return the source of a folder; `label` names the level whose folders are the classes."""
    levels = options.levels
    if options.label is not None and options.label != LABEL:
        if options.label not in levels:
            raise ConfigError(
                f"--label {options.label!r}: no level of folders has this name"
                f"{nearest(options.label, levels)} Name them with --levels, the uppermost first."
            )
        classes = {LABEL: "class", options.label: LABEL}
        levels = tuple(classes.get(level, level) for level in levels)
    return FolderSource(reader="folder", path=str(place), levels=levels)


def _table(place: Path, options: DataOptions) -> tuple[TableSource, DatasetKind]:
    """Return the source of a CSV table; a column `labels` gives each image several labels."""
    columns = header_columns(place)
    label = options.label
    if label is None and options.retrieve and not {"label", "labels"} & set(columns):
        label = options.retrieve
    if label is not None and label != "label" and label != "labels":
        if columns and label not in columns:
            raise ConfigError(
                f"--data {str(place)!r}: column {label!r} is missing{nearest(label, columns)} "
                f"Columns: {', '.join(columns)}."
            )
        return TableSource(
            reader="table", path=str(place), columns={"label": label}
        ), "classification"
    if "labels" not in columns or ("label" in columns and label != "labels"):
        return TableSource(reader="table", path=str(place)), "classification"
    source = TableSource(
        reader="table",
        path=str(place),
        columns={"label": "labels"},
        label_separator=LABEL_SEPARATOR,
    )
    return source, "multi-label"


def _parquet(place: Path, file: Path, options: DataOptions) -> ParquetSource:
    """Return the source of Parquet files with the columns of one of them."""
    from bob.datasets.readers.local_parquet import open_local

    with open_local(file) as opened:
        columns = opened.schema_arrow.names
    return ParquetSource(
        reader="parquet",
        path=str(place),
        image="image",
        label=options.label or _label(columns),
        group="group" if "group" in columns else None,
        split="split" if "split" in columns else None,
        attributes=_attributes(options),
    )


def _attributes(options: DataOptions) -> dict[str, str]:
    """Return the columns that the options name, as attributes; classes and groups have names."""
    named = {*options.train, *options.val, *options.test, *options.shift}
    named |= {name for name in (options.group, options.retrieve) if name}
    return {name: name for name in sorted(named)}


def _label(columns: Collection[str]) -> str:
    return "labels" if "labels" in columns and "label" not in columns else "label"


def _parquet_of_images(place: Path) -> Path | None:
    """Return a Parquet file of the dataset in a folder; None if the folder holds images instead.

    Beside images in folders, Parquet files without images are metadata or features.
    """
    parquet, has_images = _search(place)
    if parquet is None or not has_images:
        return parquet
    from bob.datasets.readers.local_parquet import open_local
    from bob.datasets.readers.parquet_rows import contains_bytes

    with open_local(parquet) as file:
        holds_images = any(contains_bytes(field.type) for field in file.schema_arrow)
    return parquet if holds_images else None


def _search(place: Path) -> tuple[Path | None, bool]:
    """Return a Parquet file near the top of a folder, if any, and whether there are images."""
    parquet: Path | None = None
    has_images = False
    for files in _files_by_level(place):
        parquet = parquet or next(filter(is_parquet, files), None)
        has_images = has_images or any(file.suffix.lower() in EXTENSIONS for file in files)
        if parquet is not None and has_images:
            break
    return parquet, has_images


def _files_by_level(place: Path) -> Iterator[list[Path]]:
    """Yield the files in a folder, then those in its folders, and so on near its top."""
    folders, searched = [place], 0
    for _ in range(_DEPTH_SEARCHED + 1):
        folders = folders[: _FOLDERS_SEARCHED - searched]
        searched += len(folders)
        entries = [
            entry
            for folder in folders
            for entry in _first_entries(folder)
            if not is_hidden(entry.name)
        ]
        below = {entry.path for entry in entries if is_true(entry.is_dir)}
        yield [Path(entry.path) for entry in entries if entry.path not in below]
        folders = sorted(map(Path, below))


def _first_entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return some entries of a folder; none if it cannot be read, which its reader will report."""
    try:
        with os.scandir(folder) as entries:
            return list(itertools.islice(entries, _ENTRIES_SEARCHED))
    except OSError:
        return []


def _saved(place: Path, options: DataOptions) -> HuggingFaceSource:
    """Return the source of a folder that `save_to_disk` wrote."""
    choice = SplitChoice(options.test_split)
    names = [str(name) for name in _json(place / "dataset_dict.json").get("splits") or ()]
    first = place / names[0] if names else place
    columns = [str(name) for name in _json(first / "dataset_info.json").get("features") or ()]
    return HuggingFaceSource(
        reader="huggingface",
        path=str(place),
        image="image",
        label=options.label or _label(columns),
        group="group" if "group" in columns else None,
        attributes=_attributes(options),
        splits=_roles(names or ["train"], choice, str(place)),
    )


def _roles(
    names: Collection[str], choice: SplitChoice, path: str
) -> dict[Role, str | tuple[str, ...]]:
    """Return split → names of the saved splits; those of unlabelled images have none."""
    roles: dict[Role, list[str]] = {}
    for name in names:
        use = choice.use(name)
        if use in ROLES:
            roles.setdefault(use, []).append(name)
        elif use not in ("unlabelled", "unused"):
            raise ConfigError(
                f"--data {path!r}: the split {name!r} may be of any use; there are: "
                f"{', '.join(names)}. Test on it with `--test-split {name}`, or write an entry "
                "whose source says `splits: {train: NAME, test: NAME}`."
            )
    if choice.test_split is not None and "test" not in roles:
        raise ConfigError(
            f"--data {path!r}: no split {choice.test_split!r} to test on; there are: "
            f"{', '.join(names)}. Correct --test-split."
        )
    return {role: tuple(roles[role]) for role in ROLES if role in roles}


def _json(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
