"""Outcomes: what a protocol returns. Per-example results, from which every metric and every paired test is computed."""

from bob.outcomes.classified import Classified
from bob.outcomes.corrupted import Corrupted
from bob.outcomes.fewshot_curves import Draws
from bob.outcomes.multilabel import Marked
from bob.outcomes.ood_scores import Detected
from bob.outcomes.outcome import Floats, Ints, Outcome
from bob.outcomes.paired_preprocessing import Varied
from bob.outcomes.retrieved import Retrieved, Shortlist
from bob.outcomes.shifted import Shifted

__all__ = [
    "Classified",
    "Corrupted",
    "Detected",
    "Draws",
    "Floats",
    "Ints",
    "Marked",
    "Outcome",
    "Retrieved",
    "Shifted",
    "Shortlist",
    "Varied",
]
