"""Rows of a published table that are of one backbone: how they differ, or what to do about them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bob.errors import ConfigError
from bob.leaderboards.column_meanings import tells_apart
from bob.leaderboards.column_roles import flag_texts
from bob.leaderboards.csv_table import NumberedRows
from bob.leaderboards.published_columns import ScoreColumn, quoted

Context = tuple[str | None, str | None]
"""Dataset and task of a row; None where columns name them."""


@dataclass(frozen=True)
class RepeatedRows:
    """The rows of a table, of which several may have one name."""

    table: str
    header: Sequence[str]
    rows: NumberedRows
    naming: Sequence[str]
    """Columns that names are made of."""
    dataset: str | None
    """Column that names the dataset of each row."""

    def tell_apart(
        self, names: Sequence[str], contexts: Sequence[Context], scores: Sequence[ScoreColumn]
    ) -> tuple[list[str], list[str]]:
        """Return names that are unique among the rows of a dataset and task, and a note.

        Columns such as `img_size` are added to the names of repeated rows, as many as are needed.

        Raises
        ------
        ConfigError
            If no such column differs; the message names the columns that do.
        """
        groups: dict[tuple[str, Context], list[int]] = defaultdict(list)
        for i, key in enumerate(zip(names, contexts, strict=True)):
            groups[key].append(i)
        repeated = [rows for rows in groups.values() if len(rows) > 1]
        if not repeated:
            return list(names), []
        used: list[str] = []
        for fact in self.header:
            if self._unique(repeated, used):
                break
            if tells_apart(fact) and fact not in self.naming:
                used.append(fact)
        if not self._unique(repeated, used):
            raise ConfigError(self._refusal(repeated, names, scores))
        several = {names[rows[0]] for rows in repeated}
        noun = "backbone has" if len(several) == 1 else "backbones have"
        note = (
            f"{self.table}: {len(several)} {noun} several rows; {quoted(used)} is added to "
            "their names."
        )
        shown = [
            f"{name} ({self._facts(i, used)})" if name in several else name
            for i, name in enumerate(names)
        ]
        return shown, [note]

    def _facts(self, row: int, columns: Sequence[str]) -> str:
        return ", ".join(f"{column} {self._cell(row, column)}" for column in columns)

    def _cell(self, row: int, column: str) -> str:
        return self.rows[row][1][self.header.index(column)].strip()

    def _unique(self, groups: Sequence[Sequence[int]], columns: Sequence[str]) -> bool:
        """Return whether columns differ between all rows of each group."""
        return all(
            len({tuple(self._cell(i, column) for column in columns) for i in rows}) == len(rows)
            for rows in groups
        )

    def _refusal(
        self,
        groups: Sequence[Sequence[int]],
        names: Sequence[str],
        scores: Sequence[ScoreColumn],
    ) -> str:
        """Return which rows are repeated, and which flags tell them apart."""
        first, second = groups[0][:2]
        column = scores[0].name
        dataset = column if self.dataset is None else self._cell(first, self.dataset)
        text = (
            f"{self.table}, row {self.rows[second][0]}, column {column!r}: {names[first]!r} on "
            f"{dataset!r} already has a value, in row {self.rows[first][0]}, column {column!r}."
        )
        others = {*self.naming, *(score.name for score in scores), ""}
        apart = [
            name for name in self.header if name not in others and self._unique(groups, [name])
        ]
        if not apart:
            return f"{text} Remove one of the rows, or add a column that tells them apart."
        datasets = [name for name in apart if "dataset" in name.lower() and self.dataset is None]
        flags = (
            flag_texts("dataset", datasets[:1])
            if datasets
            else flag_texts("name", [*self.naming, apart[0]])
        )
        return f"{text} {quoted(apart)} can tell such rows apart: pass {flags}."
