"""The sentence on what more train images would change between two backbones."""

from dataclasses import asdict
from typing import Any

from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.render.text import difference_text
from bob.statistics.learning_curves import Forecast

VERDICTS = {
    "turns": "would likely turn the order",
    "stays": "would likely leave the order as it is",
    "open": "may or may not turn the order",
}


def forecast_sentence(column: BoardColumn, forecast: Forecast) -> str:
    """Return whether more train images would turn the order of A and B in a setting."""
    later = difference_text("top1", forecast.later, forecast.low, forecast.high)
    now = difference_text("top1", forecast.now, None, None)
    return (
        f"{column}: {forecast.factor:.0f} times the {forecast.train_images:,} train images "
        f"{VERDICTS[forecast.verdict]}: A - B is {now} points now and {later} then, if errors "
        "follow the power laws of their learning curves (the interval is over test images)."
    )


def forecast_row(column: BoardColumn, forecast: Forecast) -> dict[str, Any]:
    """Return a forecast as plain values; differences are a minus b."""
    return {
        "task": column.task,
        "dataset": column.dataset,
        **asdict(forecast),
        "verdict": forecast.verdict,
    }
