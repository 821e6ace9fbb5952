"""Files of precomputed features in the formats that people use, and 12 examples to write there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from bob.precomputed.columns import FeatureFile, read_feature_file
from bob.precomputed.own_dataset import file_examples
from bob.precomputed.rows import Examples

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = np.array([0, 1, 2] * 4)
IDS = np.array([f"photo {i}" for i in range(12)])
SPLIT = np.array(["train"] * 8 + ["val"] * 2 + ["test"] * 2)
LABELS = tuple(map(str, Y))


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "f.npz", **arrays)
    return folder / "f.npz"


def compressed_npz(folder: Path, **arrays: Any) -> Path:
    np.savez_compressed(folder / "f.npz", **arrays)
    return folder / "f.npz"


def folder_of_npy(folder: Path, **arrays: Any) -> Path:
    (folder / "f").mkdir()
    for name, values in arrays.items():
        np.save(folder / "f" / f"{name}.npy", values)
    return folder / "f"


def safetensors(folder: Path, **arrays: Any) -> Path:
    texts = {
        name: json.dumps(values.tolist())
        for name, values in arrays.items()
        if values.dtype.kind == "U"
    }
    save_file(
        {name: torch.from_numpy(values) for name, values in arrays.items() if name not in texts},
        folder / "f.safetensors",
        texts,
    )
    return folder / "f.safetensors"


def _torch_values(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return numbers as tensors and text as lists."""
    return {
        name: values.tolist() if values.dtype.kind == "U" else torch.from_numpy(values)
        for name, values in arrays.items()
    }


def pt(folder: Path, **arrays: Any) -> Path:
    torch.save(_torch_values(arrays), folder / "f.pt")
    return folder / "f.pt"


def old_pth(folder: Path, **arrays: Any) -> Path:
    """Write the format of PyTorch before 1.6, which is no zip archive."""
    path = folder / "f.pth"
    torch.save(_torch_values(arrays), path, _use_new_zipfile_serialization=False)
    return path


def frame(x: np.ndarray, **columns: Any) -> pd.DataFrame:
    """Return a table whose feature columns are not in the order of their numbers."""
    return pd.DataFrame({**{f"x{d}": x[:, d] for d in (2, 0, 1)}, **columns})


def csv(folder: Path, **arrays: Any) -> Path:
    frame(**arrays).to_csv(folder / "f.csv", index=False)
    return folder / "f.csv"


def parquet(folder: Path, **arrays: Any) -> Path:
    frame(**arrays).to_parquet(folder / "f.parquet")
    return folder / "f.parquet"


def parquet_of_lists(folder: Path, x: np.ndarray, **columns: Any) -> Path:
    pd.DataFrame({"embedding": list(x), **columns}).to_parquet(folder / "f.parquet")
    return folder / "f.parquet"


def read_file(path: Path) -> FeatureFile:
    """Read a file that holds all splits."""
    return read_feature_file({None: path})


def examples_of(folder: Path, name: str = "mine", **arrays: Any) -> Examples:
    """Return the examples of an .npz file that is its own dataset."""
    return file_examples(read_file(npz(folder, **arrays)), name)
