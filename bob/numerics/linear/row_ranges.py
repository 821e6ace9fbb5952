"""Problems of some rows of another, in the same eigenbasis and without a copy of the rows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bob.numerics.linear.feature_rows import FeatureRows, ScaledRows, SelectedRows
from bob.numerics.linear.path_solver import LogisticProblem


@dataclass(frozen=True, eq=False)
class RowsWithoutRange:
    """All rows but those from `start` to `stop`; only a block that spans the gap is copied."""

    x: FeatureRows | Tensor
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.x.shape[0] - self.stop + self.start, *self.x.shape[1:])

    def __getitem__(self, rows: slice, /) -> Any:
        gap = self.stop - self.start
        if rows.stop <= self.start:
            return self.x[rows]
        if rows.start >= self.start:
            return self.x[rows.start + gap : rows.stop + gap]
        before, after = self.x[rows.start : self.start], self.x[self.stop : rows.stop + gap]
        if isinstance(before, Tensor):
            return torch.cat((before, after))
        return np.concatenate((before, after))


def problem_without(problem: LogisticProblem, start: int, stop: int) -> LogisticProblem:
    """Return the problem without the rows from `start` to `stop`."""
    fast, exact = (
        replace(blocks, x=RowsWithoutRange(blocks.x, start, stop))
        for blocks in (problem.fast, problem.exact)
    )
    y = torch.cat((problem.y[:start], problem.y[stop:]))
    return replace(problem, fast=fast, exact=exact, y=y, passes=0)


def problem_of(problem: LogisticProblem, start: int, stop: int) -> LogisticProblem:
    """Return the problem of the rows from `start` to `stop` alone."""
    fast, exact = (
        replace(blocks, x=_slice_rows(blocks.x, slice(start, stop)))
        for blocks in (problem.fast, problem.exact)
    )
    return replace(problem, fast=fast, exact=exact, y=problem.y[start:stop], passes=0)


def _slice_rows(x: FeatureRows | Tensor, rows: slice) -> Any:
    if isinstance(x, ScaledRows):
        return ScaledRows(_slice_rows(x.x, rows), x.scale)
    return SelectedRows(x.x, x.index[rows]) if isinstance(x, SelectedRows) else x[rows]
