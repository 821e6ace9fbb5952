"""Frames as CSV text that spreadsheets read as text, never as formulas."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd

from bob.io.text import spreadsheet_text

LINE_END = "\x1e\n"
"""Line end while a CSV text is split into rows: an ASCII record separator and a line feed, so that
line breaks inside fields do not split them."""


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV without index, with LF line ends and without formulas."""
    return without_formulas(frame).to_csv(index=False, lineterminator="\n")


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame in which spreadsheets take no text, column names included, for a formula."""
    changed = {
        str(name): [
            spreadsheet_text(value) if isinstance(value, str) else value for value in column
        ]
        for name, column in frame.items()
        if column.dtype.kind == "O" and any(map(_is_changed, set(column)))
    }
    return frame.assign(**changed).rename(columns=spreadsheet_text)


def _is_changed(value: object) -> bool:
    return isinstance(value, str) and spreadsheet_text(value) != value


def repeated_csv(
    records: pd.DataFrame, scores: pd.DataFrame, counts: Sequence[int], columns: Sequence[str]
) -> str:
    """Return the rows of scores (S rows) beside records (R rows), in the order of `columns`.

    Each row of `records` is repeated counts (R,) times, but converted to text only once.
    """
    row = np.repeat(np.arange(len(records)), counts).tolist()
    blocks = []
    for is_shared, names in groupby(columns, lambda name: name in records.columns):
        lines = _lines((records if is_shared else scores)[list(names)])
        blocks.append([lines[i] for i in row] if is_shared else lines)
    return "".join([",".join(fields) + "\n" for fields in zip(*blocks, strict=True)])


def _lines(frame: pd.DataFrame) -> list[str]:
    """Return one line per row, without line ends.

    A column of zeros is prepended and cut off again, since pandas quotes a line that consists of
    one empty field.
    """
    padded = pd.concat([pd.Series(0, index=frame.index, name="", dtype="int64"), frame], axis=1)
    lines = _headless_csv(padded).split(LINE_END)[:-1]
    if len(lines) != len(frame):  # some field contains LINE_END
        lines = [
            _headless_csv(padded[row : row + 1]).removesuffix(LINE_END) for row in range(len(frame))
        ]
    return [line[2:] for line in lines]


def _headless_csv(frame: pd.DataFrame) -> str:
    return without_formulas(frame).to_csv(index=False, header=False, lineterminator=LINE_END)
