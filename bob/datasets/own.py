"""The registry entry of your own images, derived from the path that `--data` names."""

import itertools
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bob.datasets.readers.local_copy import is_saved
from bob.datasets.readers.table import LABEL_SEPARATOR, header_columns
from bob.datasets.readers.tree import EXTENSIONS, is_hidden, is_parquet
from bob.datasets.split_names import ROLES, SplitChoice
from bob.errors import ConfigError
from bob.io.files import slug
from bob.io.names import printable
from bob.io.paths import user_path
from bob.specs import (
    DatasetSpec,
    FolderSource,
    HuggingFaceSource,
    ParquetSource,
    Role,
    TableSource,
)
from bob.specs.dataset import DatasetKind

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_FOLDERS_SEARCHED = 200
_ENTRIES_SEARCHED = 2_000
_DEPTH_SEARCHED = 3
"""Where Parquet files are looked for: those of a dataset are near its top, images may be many."""


def spec_from_data_flag(
    path: str, test_split: str | None = None, normal: Sequence[str] = ()
) -> DatasetSpec:
    """Return the entry for `--data FOLDER`, `--data table.csv` or `--data images.parquet`.

    It is named after the last part of the path. `test_split` is the split that serves as the test
    split, by its name or by that of its folder or file; `normal` are the normal classes.
    """
    place = user_path(path).absolute()
    if printable(str(place)) != str(place):
        raise ConfigError(
            f"--data {printable(path)!r}: the path is not UTF-8, so that records cannot hold it. "
            "Rename the folder, or give a link to it."
        )
    if not place.exists():
        raise ConfigError(f"--data {path!r}: no such file or folder. Check the path.")
    name = slug(place.resolve().name if place.is_dir() else place.stem)
    if place.is_dir() and is_saved(place):
        return DatasetSpec(
            name=name, source=_saved(place, SplitChoice(test_split)), normal=tuple(normal)
        )
    kind: DatasetKind = "classification"
    source: FolderSource | ParquetSource | TableSource
    if place.is_dir():
        parquet = _parquet_of_images(place)
        source = _parquet(place, parquet) if parquet else _folder(place)
    elif is_parquet(place):
        source = _parquet(place, place)
    elif place.suffix.lower() == ".csv":
        source, kind = _table(place)
    else:
        raise ConfigError(_unknown_format(path, place.suffix.lower()))
    values = {"kind": kind} if kind != "classification" else {}
    return DatasetSpec.model_validate(
        {"name": name, "source": source, "test_split": test_split, "normal": normal, **values}
    )


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


def _folder(place: Path) -> FolderSource:
    return FolderSource(reader="folder", path=str(place))


def _table(place: Path) -> tuple[TableSource, DatasetKind]:
    """Return the source of a CSV table; a column `labels` gives each image several labels."""
    columns = header_columns(place)
    if "labels" not in columns or "label" in columns:
        return TableSource(reader="table", path=str(place)), "classification"
    source = TableSource(
        reader="table",
        path=str(place),
        columns={"label": "labels"},
        label_separator=LABEL_SEPARATOR,
    )
    return source, "multi-label"


def _parquet(place: Path, file: Path) -> ParquetSource:
    """Return the source of Parquet files with the columns of one of them."""
    from bob.datasets.readers.local_parquet import open_local

    with open_local(file) as opened:
        columns = opened.schema_arrow.names
    return ParquetSource(
        reader="parquet",
        path=str(place),
        image="image",
        label=_label(columns),
        group="group" if "group" in columns else None,
        split="split" if "split" in columns else None,
    )


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
    level = [place]
    searched = 0
    for _ in range(_DEPTH_SEARCHED + 1):
        below = []
        for folder in level[: _FOLDERS_SEARCHED - searched]:
            searched += 1
            for entry in _first_entries(folder):
                path = Path(entry.path)
                if is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    below.append(path)
                elif is_parquet(path):
                    parquet = parquet or path
                elif path.suffix.lower() in EXTENSIONS:
                    has_images = True
        if parquet is not None and has_images:
            break
        level = sorted(below)
    return parquet, has_images


def _first_entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return some entries of a folder; none if it cannot be read, which its reader will report."""
    try:
        with os.scandir(folder) as entries:
            return list(itertools.islice(entries, _ENTRIES_SEARCHED))
    except OSError:
        return []


def _saved(place: Path, choice: SplitChoice) -> HuggingFaceSource:
    """Return the source of a folder that `save_to_disk` wrote."""
    names = [str(name) for name in _json(place / "dataset_dict.json").get("splits") or ()]
    first = place / names[0] if names else place
    columns = [str(name) for name in _json(first / "dataset_info.json").get("features") or ()]
    return HuggingFaceSource(
        reader="huggingface",
        path=str(place),
        image="image",
        label=_label(columns),
        group="group" if "group" in columns else None,
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
