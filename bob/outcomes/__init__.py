"""Outcomes: what a protocol returns. Per-example results, from which every metric and every paired test is computed."""

from bob.outcomes.classification import ClassPredictions
from bob.outcomes.corruptions import CorruptionResults
from bob.outcomes.fewshot_curves import FewShotCurves
from bob.outcomes.multilabel import MultilabelPredictions
from bob.outcomes.ood_scores import OodScores
from bob.outcomes.outcome import Floats, Ints, Outcome
from bob.outcomes.paired_preprocessing import PairedPreprocessing
from bob.outcomes.retrieval import RetrievalResults, TopKResults
from bob.outcomes.shifts import ShiftResults

__all__ = [
    "ClassPredictions",
    "CorruptionResults",
    "FewShotCurves",
    "Floats",
    "Ints",
    "MultilabelPredictions",
    "OodScores",
    "Outcome",
    "PairedPreprocessing",
    "RetrievalResults",
    "ShiftResults",
    "TopKResults",
]
