"""The verdicts of the page: the rankings of all selections that its reader can make, as JSON.

The scripts look a selection up by its columns. They compute no ties, shares of resamples or
intervals of ranks of their own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.page.encode import bits, float32s
from bob.leaderboards.ranking import Ranking, Standing
from bob.leaderboards.verdicts import Verdicts
from bob.leaderboards.views import BoardView

RESAMPLED = ("win_share", "rank_low", "rank_high", "z_low", "z_high")
"""Fields of a standing that come from resamples."""


def view_list(
    views: Sequence[BoardView], columns: Sequence[BoardColumn], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Describe each view; columns and backbones are indices into `columns` and `names`.

    columns: the selection; counted: those of them that are averaged; clean: whether contaminated
    cells are excluded; basis and order as in `Verdicts`; excluded: why columns are not counted, by
    column; resampled: RESAMPLED of each backbone of the order, where something was resampled;
    means: the limits of the mean value, all lower ones first, where several columns may be
    averaged. For pairs see `_pairs`.
    """
    column_index = {column: index for index, column in enumerate(columns)}
    name_index = {name: index for index, name in enumerate(names)}
    return [_view(view, column_index, name_index) for view in views]


def _view(
    view: BoardView, columns: Mapping[BoardColumn, int], names: Mapping[str, int]
) -> dict[str, Any]:
    ranking, verdicts = view.ranking, view.ranking.verdicts
    described: dict[str, Any] = {
        "columns": [columns[column] for column in view.columns],
        "counted": [columns[column] for column in ranking.settings],
        "basis": ranking.basis,
        "order": [names[name] for name in verdicts.order],
    }
    if view.clean:
        described["clean"] = True
    if len(view.columns) > 1:
        described |= _outside(ranking, columns, names) | _means(ranking)
    if any(standing.win_share is not None for standing in ranking.standings):
        described["resampled"] = [_resampled(standing) for standing in ranking.standings]
    return described | _pairs(verdicts, single=len(view.columns) == 1)


def _outside(
    ranking: Ranking, columns: Mapping[BoardColumn, int], names: Mapping[str, int]
) -> dict[str, Any]:
    """Return why columns are not counted."""
    excluded = {
        str(columns[column]): reason for column, reason in ranking.excluded_settings.items()
    }
    return {"excluded": excluded} if excluded else {}


def _means(ranking: Ranking) -> dict[str, str]:
    """Return the limits of the mean values; nothing where no backbone has some."""
    limits = [standing.value_low for standing in ranking.standings]
    limits += [standing.value_high for standing in ranking.standings]
    return {"means": float32s(limits)} if any(limit is not None for limit in limits) else {}


def _resampled(standing: Standing) -> list[float | None]:
    values = [getattr(standing, name) for name in RESAMPLED]
    return [None if value is None else round(value, 6) for value in values]


def _pairs(verdicts: Verdicts, single: bool) -> dict[str, Any]:
    """Return which pairs of the order are tied, and which were not tested.

    Bits over the pairs (i, j) with i above j, row by row: `tied`; `untested` where only some pairs
    were tested. Neither exists where none were. `p` are the adjusted p-values of all but the best
    against the best, in a single column.
    """
    size = len(verdicts.order)
    above = np.triu_indices(size, 1)
    tested = verdicts.tested[above]
    if not tested.any():
        return {}
    pairs: dict[str, Any] = {"tied": bits(verdicts.tied[above])}
    if not tested.all():
        pairs["untested"] = bits(~tested)
    if single:
        against_best = verdicts.adjusted[0, 1:size].tolist()
        pairs["p"] = [None if p != p else float(f"{p:.3g}") for p in against_best]
    return pairs
