"""The memory that scoring a unit needs, by which engines decide what may run side by side."""

from bob.engine.units import Unit
from bob.plan import Workspace

SCORE_COPIES = 3
"""Copies of the features that a probe holds: as read, as one array, as the solver needs them."""
SMALL_BYTES = 2**26
"""Memory that need not be requested: every process has it."""


def unit_memory(unit: Unit, workspace: Workspace, losses: int = 0) -> int:
    """Return the bytes that scoring a unit needs, by the images of its dataset; see `score_memory`.

    The cards of its backbones are read from the unit.
    """
    dataset = workspace.dataset(unit.plan.cells[0].dataset)
    shifts = [shift.split for shift in dataset.shifts.values()]
    rows = sum(len(split) for split in (*dataset.splits.values(), *shifts))
    cards = [report.made for report in unit.cards if report.made]
    width = max((card.shape[-1] for card in cards), default=0)  # of maps, sums are stored
    return score_memory(rows, width, losses)


def score_memory(rows: int, width: int, losses: int = 0) -> int:
    """Return the bytes to ask for scoring on features (rows, width) float32.

    Twice as much after each loss that was caused by lack of memory; 0 for little.
    """
    needed = SCORE_COPIES * rows * width * 4 * 2**losses
    return needed if needed >= SMALL_BYTES else 0
