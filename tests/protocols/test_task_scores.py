"""A task that gains scores raises its `additions`, so that records of before are completed."""

import pytest

from bob.engine.scores import score_names, scores
from bob.specs import TaskSpec
from tests.builders.task_scores import TaskScores, not_raised, read_table, task_scores
from tests.protocols.test_conformance import TASKS, each_task, result_of


@each_task
def test_the_scores_of_a_task_are_those_of_the_table(task: TaskSpec) -> None:
    """Another digest: raise `additions` in the task's file (`version` where scores moved or left),
    then run `python -m tests.builders.task_scores`.
    """
    assert read_table().get(task.name) == task_scores(task)


def test_the_table_has_no_other_tasks() -> None:
    assert set(read_table()) == set(TASKS)


@pytest.mark.parametrize("name", ["knn", "one_class"])
def test_names_are_those_of_the_scores(name: str) -> None:
    metrics = TASKS[name].metrics
    for part in result_of(name).parts:
        assert score_names(part, metrics) == [one.metric for one in scores(part, metrics, seed=0)]


def line(version: int, additions: int, names: str) -> TaskScores:
    return {"version": version, "additions": additions, "scores": 1, "names": names}


def test_changed_names_need_another_number() -> None:
    known = dict.fromkeys("abcd", line(1, 0, "x"))
    today = {
        "a": line(1, 0, "y"),
        "b": line(1, 1, "y"),
        "c": line(2, 0, "y"),
        "d": line(1, 0, "x"),
        "new": line(1, 0, "z"),
    }
    assert not_raised(known, today) == ["a"]
