"""The race of a matrix of predictions as a table and sentences."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from bob.statistics.races import RaceResult
from bob.statistics.racing import Certified


def matrix_sentences(
    result: RaceResult,
    models: int,
    count: int,
    error: float,
    target: str,
    certified: Certified = "drops",
) -> list[str]:
    """Return what a race of so many models and examples has shown, and what it saved.

    `target` is population or test-set. Without a drop there is nothing to certify.
    """
    everything = count * models
    share = 100 * result.evaluations / everything
    what = "these examples" if target == "test-set" else "the population sampled"
    sentences = [
        f"{len(result.survivors):,} of {models:,} survive; {result.examples:,} of {count:,} "
        f"examples seen; {result.evaluations:,} of {everything:,} evaluations ({share:.0f} %)."
    ]
    if result.drops:
        claim = claim_text(result.margin, certified)
        sentences.append(f"{certain_text(error)} {claim} on {what}.")
    return sentences


def certain_text(error: float) -> str:
    """Return the probability with which all claims of a race are true, to begin a sentence."""
    return f"With a probability of at least {100 * (1 - error):g} %,"


def claim_text(margin: float, certified: Certified = "drops") -> str:
    """Return what is certain of the models that a race with a margin has dropped."""
    points = f"{100 * abs(margin):.3g} percentage point{'' if abs(margin) == 0.01 else 's'}"
    if certified == "tie" and not margin:  # decided before the race has set a zone
        return "the best model survives"
    if certified == "tie":
        return f"the best model is less than {points} better than one of the survivors"
    if margin < 0:
        return f"no dropped model is better than every other by {points} or more"
    beyond = f" by more than {points}" if margin else ""
    if certified == "best":
        return f"a model that no other beats{beyond} survives"
    return f"each dropped model is worse{beyond} than some other model"


def matrix_table(result: RaceResult, names: Sequence[str]) -> Table:
    """Return the survivors, best first, and the dropped ones, the last first."""
    table = Table()
    for title in ("model", "", "accuracy", "rival", "its accuracy"):
        table.add_column(title, justify="right" if "accuracy" in title else "left")
    for i in result.survivors:
        accuracy = f"{100 * result.sums[i] / result.examples:.1f} %"
        table.add_row(Text(names[i], style="bold"), "survives", accuracy, "", "")
    for drop in reversed(result.drops):
        table.add_row(
            Text(names[drop.backbone]),
            f"dropped at {drop.examples:,}",
            f"{100 * drop.value / drop.examples:.1f} %",
            Text(names[drop.rival]),
            f"{100 * drop.rival_value / drop.examples:.1f} %",
            style="dim",
        )
    return table
