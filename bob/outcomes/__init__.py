"""Outcomes: the per-example results that a protocol returns.

Every metric, interval and paired test is computed from an outcome. Each class is named after what
it holds: predictions, scores, curves or results.
"""

from bob.outcomes.boxes import BoxMatches, MaskMatches, ObjectMatches
from bob.outcomes.class_probabilities import ClassProbabilities
from bob.outcomes.class_subsets import ClassSubsets
from bob.outcomes.classification import ClassPredictions
from bob.outcomes.clusters import ClusterAssignments
from bob.outcomes.concepts import ConceptResults
from bob.outcomes.correspondence import PairHits
from bob.outcomes.corruptions import CorruptionProbabilities, CorruptionResults
from bob.outcomes.depth import DepthErrors
from bob.outcomes.descriptions import FeatureDiagnostics, ShiftDistances
from bob.outcomes.discovery import DiscoveredBoxes
from bob.outcomes.fewshot_curves import FewShotCurves
from bob.outcomes.frequency import FrequencyResults
from bob.outcomes.groups import GroupResults
from bob.outcomes.incremental import IncrementalResults
from bob.outcomes.learning_curve import LearningCurve
from bob.outcomes.multilabel import MultilabelPredictions
from bob.outcomes.ood_scores import OodScores
from bob.outcomes.outcome import Outcome
from bob.outcomes.paired_preprocessing import PairedPreprocessing
from bob.outcomes.recall_sums import RecallSums
from bob.outcomes.regression import RegressionResults
from bob.outcomes.retrieval import FirstPlaces, RetrievalResults, TopKResults
from bob.outcomes.segmentation import SegmentationCounts
from bob.outcomes.selective import SelectivePredictions
from bob.outcomes.shifts import ShiftResults
from bob.outcomes.triplets import TripletChoices
from bob.outcomes.video import FollowedObjects

__all__ = [
    "BoxMatches",
    "ClassPredictions",
    "ClassProbabilities",
    "ClassSubsets",
    "ClusterAssignments",
    "ConceptResults",
    "CorruptionProbabilities",
    "CorruptionResults",
    "DepthErrors",
    "DiscoveredBoxes",
    "FeatureDiagnostics",
    "FewShotCurves",
    "FirstPlaces",
    "FollowedObjects",
    "FrequencyResults",
    "GroupResults",
    "IncrementalResults",
    "LearningCurve",
    "MaskMatches",
    "MultilabelPredictions",
    "ObjectMatches",
    "OodScores",
    "Outcome",
    "PairHits",
    "PairedPreprocessing",
    "RecallSums",
    "RegressionResults",
    "RetrievalResults",
    "SegmentationCounts",
    "SelectivePredictions",
    "ShiftDistances",
    "ShiftResults",
    "TopKResults",
    "TripletChoices",
]
