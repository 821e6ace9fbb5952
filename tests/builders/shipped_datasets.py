"""Registered datasets whose files tests write."""

from pathlib import Path

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.registry import load_registry


def open_shipped(name: str, root: Path) -> Dataset:
    """Open a registered dataset at another place, without its counts."""
    spec = load_registry().datasets[name]
    source = spec.source.model_copy(update={"path": str(root)})
    return open_dataset(
        spec.model_copy(update={"source": source, "counts": {}}), root.parent / "cache"
    )
