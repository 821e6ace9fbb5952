"""A results folder with per-example arrays, made by hand: who is right on which of N examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bob.outcomes import Classified
from bob.records.record import Record
from bob.records.store import RecordBook
from tests.builders.leaderboard_records import dataset, record, score, task

N = 400
EASE = np.random.default_rng(0).random(N)
"""The same examples are easy for everybody."""


def right(share: float, seed: int, n: int = N) -> np.ndarray:
    """(n,) whether each example is right, for about `share` of them."""
    noise = np.random.default_rng(seed).random(n)
    return 0.8 * EASE[:n] + 0.2 * noise < share


def classified(correct: np.ndarray) -> Classified:
    """Two classes; wrong is the other class."""
    y = np.arange(len(correct)) % 2
    return Classified(y, np.where(correct, y, 1 - y), (~correct).astype(np.int64), 2)


def store(
    folder: Path, name: str, correct: Mapping[tuple[str, str], np.ndarray], **changes: Any
) -> list[Record]:
    """One backbone's records with arrays; `correct` by (task, dataset)."""
    made = []
    for (of, held), values in correct.items():
        outcome = classified(values)
        scores = (score("top1", float(values.mean()), n=len(values)),)
        one = record(
            name,
            task=task(of, metrics=("top1",)),
            dataset=dataset(held, f"print of {held}"),
            scores=scores,
            **changes,
        )
        RecordBook(folder).write(
            one, {f"0.{array}": value for array, value in outcome.to_arrays().items()}
        )
        made.append(one)
    return made
