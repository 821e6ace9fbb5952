"""Solar cells that several tests embed by EfficientNet-Lite0, once for all processes."""

from pathlib import Path

from bob.datasets.dataset import Split
from bob.datasets.open import open_dataset
from bob.datasets.splits import stratified_subset
from bob.registry import load_registry

TRAIN_CELLS = 328


def solar_cells(cache: Path) -> dict[str, Split]:
    """Return a sixth of the train cells of `elpv`, and its 656 test cells."""
    splits = open_dataset(load_registry().datasets["elpv"], cache).splits
    train = splits["train"]
    chosen = stratified_subset(train.y, train.content, TRAIN_CELLS)
    return {"train": train.take(chosen), "test": splits["test"]}
