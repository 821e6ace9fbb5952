"""The outcome of a classifier: predicted classes, and ranks of the true ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles, Ints

BLOCK_CELLS = 4_000_000
"""Scores converted at once: 32 MB in float64, independent of N and C."""


@dataclass(frozen=True, eq=False)
class ClassPredictions:
    """Predictions of a classifier on N test examples of C classes."""

    y: Ints
    """(N,) the true class."""
    predicted: Ints
    """(N,) the best-scored class; ties go to the lower index."""
    rank: Ints
    """(N,) number of classes ranked before the true one.

    0 is best; ties go to the lower index; C if the true class has no score at all.
    """
    classes: int
    """C, the number of classes."""
    log_prob: Doubles | None = None
    """(N,) natural logarithm of the true class's probability; None without probabilities."""
    confidence: Doubles | None = None
    """(N,) probability of the predicted class; None without probabilities."""

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def from_logits(cls, logits: NDArray[Any], y: NDArray[Any]) -> "ClassPredictions":
        """Return the outcome of logits (N, C), float, and true classes (N,), int.

        Probabilities are the softmax of the logits, in float64.
        """
        y = _checked(logits, y)
        log_prob, confidence = np.empty(len(y)), np.empty(len(y))
        for rows in _blocks(logits):
            block = logits[rows].astype(np.float64)
            best = block.max(1)
            log_total = np.log(np.exp(block - best[:, None]).sum(1))
            log_prob[rows] = _true_scores(block, y[rows]) - best - log_total
            confidence[rows] = np.exp(-log_total)
        return cls(y, _best(logits), _ranks(logits, y), logits.shape[1], log_prob, confidence)

    @classmethod
    def from_logits_in_blocks(
        cls, logits_of: Callable[[slice], NDArray[Any]], y: NDArray[Any], classes: int
    ) -> "ClassPredictions":
        """Return the outcome of logits that `logits_of` computes for one slice of rows at a time.

        `logits_of` returns (n, C) for a slice of n rows; memory depends on neither N nor C.
        """
        step = max(1, BLOCK_CELLS // classes)
        slices = (slice(start, start + step) for start in range(0, max(1, len(y)), step))
        return cls.concatenate([cls.from_logits(logits_of(rows), y[rows]) for rows in slices])

    @classmethod
    def from_votes(cls, votes: NDArray[Any], y: NDArray[Any]) -> "ClassPredictions":
        """Return the outcome of votes (N, C), at least 0, and true classes (N,), int.

        A class without votes is never ranked. Votes are not probabilities.
        """
        y = _checked(votes, y)
        if len(y) and not (votes.min() >= 0 and votes.max(1).min() > 0):
            raise ValueError("votes must be at least 0, with one above 0 in every row.")
        rank = np.where(_true_scores(votes, y) > 0, _ranks(votes, y), votes.shape[1])
        return cls(y, _best(votes), rank, votes.shape[1])

    def take(self, positions: NDArray[Any]) -> "ClassPredictions":
        """Return the outcome of the examples at `positions` (M,), int; repeats are allowed."""
        log_prob = None if self.log_prob is None else self.log_prob[positions]
        confidence = None if self.confidence is None else self.confidence[positions]
        return ClassPredictions(
            self.y[positions],
            self.predicted[positions],
            self.rank[positions],
            self.classes,
            log_prob,
            confidence,
        )

    @classmethod
    def concatenate(cls, parts: Sequence["ClassPredictions"]) -> "ClassPredictions":
        """Return the outcome over the examples of all parts, in order.

        The parts must have the same C and the same optional arrays.
        """
        arrays = [part.to_arrays() for part in parts]
        joined = {
            name: np.concatenate([part[name] for part in arrays])
            for name in arrays[0]
            if name != "classes"
        }
        return cls.from_arrays({**joined, "classes": np.asarray(parts[0].classes)})

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store; `from_arrays` restores the outcome bit for bit."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: np.asarray(value) for name, value in values.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ClassPredictions":
        """Return the outcome that `to_arrays` stored; missing or extra arrays are a ValueError."""
        names = {field.name for field in fields(cls)}
        required = names - {"log_prob", "confidence"}
        if not required <= set(arrays) <= names:
            raise ValueError(
                f"a stored outcome holds the arrays {sorted(required)} and at most "
                f"{sorted(names - required)}; got {sorted(arrays)}."
            )
        return cls(**{**arrays, "classes": int(arrays["classes"].item())})  # type: ignore[arg-type]


def _checked(scores: NDArray[Any], y: NDArray[Any]) -> Ints:
    """Check scores (N, C) against y (N,) and return y as int64."""
    if scores.ndim != 2 or y.shape != scores.shape[:1]:
        raise ValueError(
            f"scores must have shape (N, C) and y (N,); got {scores.shape} and {y.shape}."
        )
    if len(y) and not (y.min() >= 0 and y.max() < scores.shape[1]):
        raise ValueError(f"y must lie in 0..{scores.shape[1] - 1}; got {y.min()}..{y.max()}.")
    if len(y) and not np.isfinite(scores.max()):
        raise ValueError("scores must hold no NaN and no +inf.")
    return y.astype(np.int64)


def _blocks(scores: NDArray[Any]) -> Iterator[slice]:
    """Return slices over the rows of scores (N, C), of at most BLOCK_CELLS scores each."""
    step = max(1, BLOCK_CELLS // max(1, scores.shape[1]))
    return (slice(start, start + step) for start in range(0, len(scores), step))


def _true_scores(scores: NDArray[Any], y: Ints) -> NDArray[Any]:
    """Return (N,) the score of each row's true class."""
    true_scores: NDArray[Any] = np.take_along_axis(scores, y[:, None], 1)[:, 0]
    return true_scores


def _best(scores: NDArray[Any]) -> Ints:
    """Return (N,) the best-scored class; argmax already resolves ties to the lower index."""
    best: Ints = scores.argmax(1).astype(np.int64)
    return best


def _ranks(scores: NDArray[Any], y: Ints) -> Ints:
    """Return (N,) the number of classes that come before the true one; ties go by index."""
    rank = np.empty(len(y), np.int64)
    index = np.arange(scores.shape[1])
    for rows in _blocks(scores):
        true_score = _true_scores(scores[rows], y[rows])[:, None]
        tied_before = (scores[rows] == true_score) & (index < y[rows, None])
        before = (scores[rows] > true_score) | tied_before
        rank[rows] = before.sum(1)
    return rank
