"""An order by a description of features as a table and a sentence for a terminal."""

from rich.table import Table
from rich.text import Text

from bob.leaderboards.description_agreement import LEAST_BACKBONES, PROBE
from bob.leaderboards.description_order import DescriptionOrder
from bob.leaderboards.render.text import MISSING


def order_table(order: DescriptionOrder) -> Table:
    """Return the backbones, highest value first, with the score of the probe in percent."""
    title = Text(f"{order.description} on {order.dataset}")
    table = Table(title=title, title_justify="left")
    table.add_column("backbone", overflow="fold")
    for name in (order.description, "95 % interval", f"{PROBE}, %"):
        table.add_column(name, justify="right")
    for each in order.backbones:
        bounded = each.low is not None and each.high is not None
        interval = f"{each.low:.4g} to {each.high:.4g}" if bounded else MISSING
        measured = MISSING if each.measured is None else f"{100 * each.measured:.1f}"
        table.add_row(Text(each.name), f"{each.value:.4g}", interval, measured)
    return table


def agreement_sentence(order: DescriptionOrder) -> str:
    """Return how this order agrees with that of the probe."""
    agreement = order.agreement
    if agreement is None:
        return (
            f"Its agreement with the probe needs {LEAST_BACKBONES} backbones, beside baselines, "
            f"with records of {PROBE} too."
        )
    limits = ""
    if agreement.low is not None and agreement.high is not None:
        limits = f" (95 % interval over backbones {agreement.low:.2f} to {agreement.high:.2f})"
    return (
        f"Kendall's tau with {agreement.measured} of {PROBE} over {agreement.backbones} backbones: "
        f"{agreement.tau:.2f}{limits}."
    )
