"""Accuracy against frequency beside any classifier's answers."""

import numpy as np
import pytest

from bob.outcomes import ConceptResults, GroupResults
from bob.protocols import Answers, Result, ResultPart
from bob.protocols.concept_frequency import with_concepts
from tests.builders.splits import digests, make_dataset, make_split

Y = [0, 0, 1, 1, 1, 2, 2, 3]


def result(**answers: Answers) -> Result:
    outcome = GroupResults(np.ones(1), np.zeros(1, np.int64), np.zeros(1, np.int64))
    return Result((ResultPart(outcome),), {}, answers={k.strip("_"): v for k, v in answers.items()})


def test_classes_are_compared_by_the_counts_that_are_known() -> None:
    """Image 2 is unreadable, class 3 has no count, and class 4 no test image."""
    test = make_split(digests(8), Y)
    counts = {"laion": np.array([10, 0, 30, -1, 7])}
    data = make_dataset({"train": test, "test": test}, tuple("abcde"), concept_counts=counts)
    read = np.array([0, 1, 3, 4, 5, 6, 7])
    right = np.array([1, 0, 1, 1, 0, 0, 1.0])
    with_parts = with_concepts(
        result(_=Answers(right), adjusted=Answers(right), night=Answers(right, images="night")),
        data,
        lambda name: read,
    )
    _, part, absent, adjusted, _ = with_parts.parts
    assert (part.suffix, adjusted.suffix) == ("laion", "adjusted_laion")
    assert part.facets == {"corpus": "laion"}
    assert isinstance(part.outcome, ConceptResults)
    assert part.outcome.accuracy == pytest.approx([1 / 2, 1, 0])
    assert part.outcome.count.tolist() == [10, 0, 30]
    assert absent.metrics == ("absent_concept_top1",) and absent.suffix == "laion"
    assert isinstance(absent.outcome, ConceptResults)
    assert absent.outcome.accuracy.tolist() == [1.0] and absent.outcome.count.tolist() == [0]


def test_answers_for_some_images_and_datasets_without_counts() -> None:
    test = make_split(digests(8), Y)
    data = make_dataset({"test": test}, tuple("abcd"), concept_counts={"cc3m": np.arange(4)})
    rows = np.array(Y) < 2
    answers = Answers(np.array([1, 1, 0, 0, 0.3]), rows=rows)
    (_, part, _) = with_concepts(result(_=answers), data, lambda name: np.arange(8)).parts
    assert isinstance(part.outcome, ConceptResults)
    assert part.outcome.accuracy == pytest.approx([1, 0.1])
    bare = result(_=answers)
    assert with_concepts(bare, make_dataset({"test": test}), lambda name: np.arange(8)) is bare
