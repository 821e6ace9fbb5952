"""Files of features that were computed elsewhere, in every format."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bob.precomputed.own_dataset import file_examples
from tests.builders import feature_files as builders
from tests.fuzz.mutate import HOSTILE_TEXTS, damaged, truncated
from tests.fuzz.target import Case

FORMATS: tuple[Callable[..., Path], ...] = (
    builders.npz,
    builders.compressed_npz,
    builders.folder_of_npy,
    builders.safetensors,
    builders.pt,
    builders.old_pth,
    builders.csv,
    builders.parquet,
    builders.parquet_of_lists,
)
CHECKED = {builders.npz, builders.compressed_npz}
"""Formats with a checksum over every value."""
SOUND = {"x": builders.X, "y": builders.Y, "ids": builders.IDS, "split": builders.SPLIT}
ODD_VALUES: tuple[Any, ...] = (
    np.float32(np.nan), np.float32(np.inf), np.float32(3e38), np.float32(0), np.float32(1e-38)
)  # fmt: skip


def prepare(folder: Path) -> Case:
    """Damage bytes of sound files, and write sound files of odd arrays."""
    sound: list[tuple[Callable[..., Path], Path]] = []
    for write in FORMATS:
        place = folder / write.__name__
        place.mkdir()
        sound.append((write, write(place, **SOUND)))
    work = folder / "work"
    work.mkdir()

    def case(rng: random.Random) -> bool:
        shutil.rmtree(work)
        work.mkdir()
        write, path = rng.choice(sound)
        if rng.random() < 0.4:
            return _odd(write, work, rng)
        return _damaged(write, path, work, rng)

    return case


def _damaged(write: Callable[..., Path], path: Path, work: Path, rng: random.Random) -> bool:
    copy = work / path.name
    if path.is_dir():
        shutil.copytree(path, copy)
        target = rng.choice(sorted(copy.iterdir()))
    else:
        shutil.copy(path, copy)
        target = copy
    is_cut = rng.random() < 0.3
    data = target.read_bytes()
    target.write_bytes((truncated if is_cut else damaged)(data, rng))
    rows = _read(copy)
    if write in CHECKED or (is_cut and write is not builders.csv):
        assert np.array_equal(rows, builders.X), f"{write.__name__}: damage was accepted"
    return True


def _odd(write: Callable[..., Path], work: Path, rng: random.Random) -> bool:
    """Write arrays of odd values, types or shapes; some of them must be refused."""
    arrays: dict[str, Any] = {name: values.copy() for name, values in SOUND.items()}
    name = rng.choice(("x", "x", "y", "ids", "split"))
    must_fail = False
    way = rng.randrange(4)
    if way == 0 and name == "x":
        value = rng.choice(ODD_VALUES)
        arrays["x"][rng.randrange(12), rng.randrange(3)] = value
        must_fail = not np.isfinite(value)
    elif way == 0:
        texts = arrays[name].astype(object)
        texts[rng.randrange(12)] = rng.choice(HOSTILE_TEXTS).replace("\ud800", "?").strip("\0")
        arrays[name] = texts.astype(str)
    elif way == 1 and write not in (builders.csv, builders.parquet, builders.parquet_of_lists):
        arrays[name] = arrays[name][: rng.randrange(12)]
        must_fail = True
    elif way == 2:
        del arrays[name]
    else:
        arrays["x"] = arrays["x"].astype(
            rng.choice(("float16", "float64", "int64", "uint8", "bool"))
        )
    try:
        path = write(work, **arrays)
    except (KeyError, TypeError, UnicodeEncodeError, json.JSONDecodeError):
        return False  # the builder cannot write this
    _read(path)
    assert not must_fail, f"{write.__name__}: {name} was accepted"
    return True


def _read(path: Path) -> Any:
    """Read a file as `evaluate` does, and return its rows in the order of the file."""
    file = builders.read_file(path)
    examples = file_examples(file, "mine")
    for split in examples.dataset.splits.values():
        examples.rows(examples.indices(split))
    return np.concatenate([table.rows(np.arange(len(table))) for table in file.tables])
