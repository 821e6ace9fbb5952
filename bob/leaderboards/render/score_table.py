"""Scores in Python: every column of leaderboard.csv, of which few are printed."""

from typing import Any, cast

import pandas as pd

from bob.leaderboards.metric_traits import metric_traits

SHOWN = ("backbone", "task", "dataset", "metric", "value", "low", "high", "n")
"""Columns that are printed; `seed` and `status` too where they differ between rows."""


class ScoreTable(pd.DataFrame):
    """One row per score, as in leaderboard.csv.

    Printed are the scores that rank each task, in few columns. What is selected from it is an
    ordinary frame: `scores[:]` prints all rows and columns.
    """

    def headlines(self) -> pd.DataFrame:
        """Return the scores that rank each task, and the cells without one, in few columns.

        Those of a task and dataset stand together, the best first.
        """
        facets = [name for name in self.columns if str(name).startswith("facet_")]
        is_headline = self["primary"] | (self["status"] != "ok")
        rows = self[is_headline & self[facets].isna().all(axis=1)]
        columns = list(SHOWN)
        if rows["seed"].nunique() > 1:
            columns.insert(columns.index("value"), "seed")
        if (rows["status"] != "ok").any():
            columns.append("status")
        worth = [
            value if pd.isna(value) or metric_traits(metric).higher_is_better else -value
            for metric, value in zip(rows["metric"], rows["value"], strict=True)
        ]
        in_order = (
            rows.assign(worth=worth)
            .sort_values("worth", ascending=False, kind="stable")
            .sort_values(["task", "dataset"], kind="stable")
        )
        return cast(pd.DataFrame, in_order[columns].reset_index(drop=True))

    def __repr__(self) -> str:
        if not self._has_scores():
            return super().__repr__()
        text = self.headlines().to_string(**self._format())
        return f"{text}\n{self._note()}"

    def _repr_html_(self) -> str:
        if not self._has_scores():
            return cast(str, pd.DataFrame(self)._repr_html_())  # type: ignore[operator]
        html = self.headlines().to_html(**self._format())
        return f"{html}<p>{self._note()}</p>"

    def _format(self) -> dict[str, Any]:
        most = pd.get_option("display.max_rows")
        return {
            "float_format": "{:.3f}".format,
            "index": False,
            "na_rep": "–",
            "max_rows": most,
        }

    def _has_scores(self) -> bool:
        return len(self) > 0 and {*SHOWN, "primary", "seed", "status"} <= {*self.columns}

    def _note(self) -> str:
        return (
            f"{len(self.headlines()):,} of {len(self):,} scores, those that rank their tasks, and "
            f"{len(self.headlines().columns)} of {len(self.columns)} columns; .columns names all."
        )
