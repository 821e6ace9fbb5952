"""CSV text of a frame in which runs of rows share most of their fields: those are made into text once per run."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
import pandas as pd

END = "\x1e\n"
"""Ends a line of a part, so that a line break inside a field does not: an ASCII record separator first."""


def repeated_csv(shared: pd.DataFrame, own: pd.DataFrame, counts: Sequence[int], columns: Sequence[str]) -> str:
    """What `to_csv(index=False, lineterminator="\\n")` gives of own (S rows) beside shared (R rows, each repeated counts (R,) times)."""
    row = np.repeat(np.arange(len(shared)), counts).tolist()
    blocks = [(once, list(names)) for once, names in groupby(columns, lambda name: name in shared.columns)]
    texts = [_repeated(_lines(shared[names]), row) if once else _lines(own[names]) for once, names in blocks]
    head = pd.DataFrame(columns=list(columns)).to_csv(index=False, lineterminator="\n")
    return head + "".join([",".join(parts) + "\n" for parts in zip(*texts, strict=True)])


def _repeated(lines: Sequence[str], row: Iterable[int]) -> list[str]:
    return [lines[place] for place in row]


def _lines(frame: pd.DataFrame) -> list[str]:
    """One text per row. A column of zeros goes before the others and is cut off again, since a line of one empty field would be quoted."""
    marked = pd.concat([pd.Series(0, index=frame.index, name="", dtype="int64"), frame], axis=1)
    lines = marked.to_csv(index=False, header=False, lineterminator=END).split(END)[:-1]
    if len(lines) != len(frame):  # some field holds END
        lines = [marked[row : row + 1].to_csv(index=False, header=False, lineterminator=END).removesuffix(END) for row in range(len(frame))]
    return [line[2:] for line in lines]
