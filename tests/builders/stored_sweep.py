"""A results folder with per-example arrays that state which of N examples are correct."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bob.outcomes import ClassPredictions
from bob.records.record import Record
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import dataset, record, score, task

N = 400
DIFFICULTY = np.random.default_rng(0).random(N)
"""Shared by all backbones, so that they tend to fail on the same examples."""


def sample_correct(share: float, seed: int, n: int = N) -> np.ndarray:
    """Return whether each example is classified correctly (n,), for about `share` of them."""
    noise = np.random.default_rng(seed).random(n)
    return 0.8 * DIFFICULTY[:n] + 0.2 * noise < share


def predictions(correct: np.ndarray) -> ClassPredictions:
    """Return predictions between two classes; a wrong one is the other class."""
    y = np.arange(len(correct)) % 2
    return ClassPredictions(y, np.where(correct, y, 1 - y), (~correct).astype(np.int64), 2)


def store(
    folder: Path,
    name: str,
    correct: Mapping[tuple[str, str], np.ndarray],
    majority: float | None = None,
    **changes: Any,
) -> list[Record]:
    """Write and return one backbone's records with arrays; `correct` is by (task, dataset)."""
    records = []
    for (task_name, dataset_name), examples in correct.items():
        arrays = predictions(examples).to_arrays()
        stored = record(
            name,
            task=task(task_name, metrics=("top1",)),
            dataset=dataset(dataset_name, f"print of {dataset_name}"),
            scores=(score("top1", float(examples.mean()), n=len(examples), majority=majority),),
            **changes,
        )
        RecordStore(folder).write(stored, {f"0.{key}": values for key, values in arrays.items()})
        records.append(stored)
    return records
