"""The names of the scores of every shipped task, on the datasets of the conformance suite.

`python -m tests.builders.task_scores` writes tests/data/task_scores.json, which a test compares
with the tasks of today: a task that gains scores must raise its `additions`, or no record that
exists is completed. Where the names changed and neither `additions` nor `version` did, nothing is
written.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from bob.engine.scores import score_names
from bob.io.digest import digest
from bob.numerics.arrays import Ints
from bob.protocols.attribute_groups import with_groups
from bob.protocols.concept_frequency import with_concepts
from bob.specs import TaskSpec
from tests.protocols.test_conformance import TASKS, dataset_of, result_of

TABLE = Path(__file__).parents[1] / "data" / "task_scores.json"


class TaskScores(TypedDict):
    """What a task says of its scores, and the digest of their names."""

    version: int
    additions: int
    scores: int
    names: str


def names_of(task: TaskSpec) -> list[str]:
    """Return the names of a task's scores, those by groups and by concept counts among them."""
    data = dataset_of(task)
    counts = {"corpus": np.arange(len(data.classes))}

    def positions(images: str) -> Ints:
        shift = data.shifts.get(images)
        return np.arange(len(data.splits["test"] if shift is None else shift.split))

    grouped = with_groups(result_of(task.name), data, positions)
    result = with_concepts(grouped, replace(data, concept_counts=counts), positions)
    return sorted(name for part in result.parts for name in score_names(part, task.metrics))


def task_scores(task: TaskSpec) -> TaskScores:
    """Return the line of a task."""
    names = names_of(task)
    return {
        "version": task.version,
        "additions": task.additions,
        "scores": len(names),
        "names": digest(names),
    }


def not_raised(known: Mapping[str, TaskScores], today: Mapping[str, TaskScores]) -> list[str]:
    """Return the tasks whose names changed while neither `version` nor `additions` did."""
    return [
        task
        for task, line in today.items()
        if task in known
        and line["names"] != known[task]["names"]
        and line["version"] == known[task]["version"]
        and line["additions"] == known[task]["additions"]
    ]


def read_table() -> dict[str, TaskScores]:
    """Return the committed lines by task."""
    table: dict[str, TaskScores] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def main() -> None:
    """Write the table, unless a number has to be raised first."""
    today = {name: task_scores(task) for name, task in sorted(TASKS.items())}
    if TABLE.exists() and (tasks := not_raised(read_table(), today)):
        sys.exit(f"raise `additions` in the files of {', '.join(tasks)}: their scores changed.")
    lines = [f"  {json.dumps(name)}: {json.dumps(line)}" for name, line in today.items()]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
