"""Twelve seconds of fuzzing, by the number of inputs; `make fuzz` tries as many as wanted."""

from pathlib import Path

import pytest

from tests.fuzz.target import Fault, try_input
from tests.fuzz.targets import TARGETS

COUNTS = {
    "registries": 120,
    "annotations": 250,
    "command_lines": 120,
    "feature_files": 500,
    "published_tables": 1500,
    "image_containers": 400,
    "pictures": 1500,
    "results": 150,
    "shards": 1500,
    "weights": 600,
    "plans": 1000,
    "graphs": 600,
    "image_processors": 90,
}
"""Inputs of each target: at most a few seconds of processor time."""
SEED = 0


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_and_hostile_inputs_are_answered(target: str, tmp_path: Path) -> None:
    """Without a traceback, without a hang, and without taking damage for data."""
    case = TARGETS[target](tmp_path)
    answers = [try_input(target, case, SEED, number) for number in range(COUNTS[target])]
    faults = [answer for answer in answers if isinstance(answer, Fault)]
    assert not faults, "\n".join(map(str, faults[:3]))
    assert answers.count(False) > COUNTS[target] // 10, "hardly anything is refused"
    assert target == "shards" or answers.count(True) > COUNTS[target] // 50, (
        "nearly everything is refused, so that little is tried"
    )


def test_a_fault_names_the_command_that_shows_it_again() -> None:
    def broken(_: object) -> bool:
        raise ZeroDivisionError("division by zero")

    fault = try_input("tars", broken, seed=3, number=7)
    assert "python -m tests.fuzz --targets tars --seed 3 --first 7 --count 1" in str(fault)
    assert "ZeroDivisionError" in str(fault)
