"""Outcomes: what a protocol returns. Per-example results, from which every metric and every paired test is computed."""

from bob.outcomes.classified import Classified
from bob.outcomes.corrupted import Corrupted
from bob.outcomes.detected import Detected
from bob.outcomes.draws import Draws
from bob.outcomes.marked import Marked
from bob.outcomes.outcome import Floats, Ints, Outcome
from bob.outcomes.retrieved import Retrieved, Shortlist
from bob.outcomes.shifted import Shifted
from bob.outcomes.varied import Varied

__all__ = ["Classified", "Corrupted", "Detected", "Draws", "Floats", "Ints", "Marked", "Outcome", "Retrieved", "Shifted", "Shortlist", "Varied"]
