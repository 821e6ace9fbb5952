"""A predicted order as tables and sentences for a terminal."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from bob.leaderboards.prerank import OrderingErrors, Prerank
from bob.leaderboards.render.text import MISSING, params_text
from bob.statistics.score_prediction import COVERAGE


def order_table(prerank: Prerank) -> Table:
    """Return the predicted order, best first; scores in percent."""
    title = f"Predicted {prerank.metric} of {prerank.task} on {prerank.dataset}, in %"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("order", justify="right")
    table.add_column("backbone", overflow="fold")
    table.add_column("predicted", justify="right")
    table.add_column(f"{COVERAGE:.0%} interval", justify="right")
    table.add_column("params (M)", justify="right")
    for i, backbone in enumerate(prerank.order, start=1):
        interval = (
            MISSING
            if backbone.low is None or backbone.high is None
            else f"{100 * backbone.low:.1f}–{100 * backbone.high:.1f}"
        )
        value = f"{100 * backbone.value:.1f}"
        table.add_row(str(i), Text(backbone.name), value, interval, params_text(backbone.params))
    return table


def errors_table(prerank: Prerank) -> Table:
    """Return how well each method orders datasets that are held out of the tables."""
    table = Table(title="Each dataset of the tables, ordered from the others", title_justify="left")
    table.add_column("order by")
    for name in ("columns", "backbones", "Spearman", "Kendall", "lost by the first", "at most"):
        table.add_column(name, justify="right")
    for method in prerank.methods:
        table.add_row(
            method.method,
            str(method.columns),
            str(method.backbones),
            _correlation(method.spearman),
            _correlation(method.kendall),
            f"{100 * method.regret:.1f} points",
            f"{100 * method.worst_regret:.1f}",
        )
    return table


def prerank_sentences(prerank: Prerank) -> Iterator[str]:
    """Yield what the order rests on, and what it is worth."""
    count = len(prerank.observed)
    yield f"Predicted from the scores of {count} backbones: {', '.join(prerank.observed)}."
    if cut := sum(each.is_cut for each in prerank.order):
        yield (
            f"{cut:,} of {len(prerank.order):,} predictions lay beyond 0 to 100 % and are cut "
            "there, without an interval: a record of a backbone from their end of the order would "
            "bound them."
        )
    if better := [each.method for each in prerank.methods[1:] if _is_better(each, prerank)]:
        have = "have" if len(better) > 1 else "has"
        yield (
            f"On these tables the order by {' and that by '.join(better)} {have} a higher "
            "Spearman correlation than the prediction."
        )
    if prerank.unregistered:
        unregistered = len(prerank.unregistered)
        names = "1 backbone" if unregistered == 1 else f"{unregistered:,} backbones"
        yield (
            f"Not listed, as no registered backbone has the name: {names} of the tables. "
            "--match PUBLISHED=BACKBONE names one that is the same."
        )
    yield "An order in which to download and run backbones: only a run says which is best."


def _is_better(method: OrderingErrors, prerank: Prerank) -> bool:
    """Return whether a method's correlation is higher than the prediction's, as printed."""
    prediction = prerank.methods[0].spearman
    if method.spearman is None or prediction is None:
        return False
    return round(method.spearman, 2) > round(prediction, 2)


def _correlation(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"
