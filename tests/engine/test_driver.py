"""The process that reads a plan, divides it and conducts it needs no PyTorch."""

import json
import subprocess
import sys
from pathlib import Path

from bob.engine.estimate import estimate
from bob.engine.units import units
from bob.plan import make_plan, make_workspace
from tests.builders.plans import make_request

PROGRAM = """
import json
import sys
from concurrent.futures import Future
from pathlib import Path


sys.modules["torch"] = None  # as if it were not installed

from bob.engine.conductor import conduct
from bob.engine.engine import LostError, SilentEngineListener
from bob.plan import CardReport, Machine, Places, Workspace, read_plan


class LosingEngine:
    unit_seconds = 0.001

    def __init__(self):
        self.begun = []

    def has_room(self, kind):
        return True

    def submit(self, unit, listener):
        self.begun.append(unit)
        future = Future()
        future.set_exception(LostError("the fake"))
        return future

    def wait(self, running): ...

    def close(self): ...


folder = Path(sys.argv[1])
plan = read_plan((folder / "plan.json").read_text(), "plan.json")
machine, places = Machine(is_remote=True), Places(folder / "cache", folder / "results")
workspace = Workspace(places, plan.settings, machine, plan.datasets)
cards = json.loads((folder / "cards.json").read_text())
workspace.add_cards(CardReport.model_validate_json(card) for card in cards)
engine = LosingEngine()
records = list(conduct(plan, workspace, engine, SilentEngineListener()))
print(json.dumps({
    "units": list(dict.fromkeys(unit.id for unit in engine.begun)),
    "reasons": {record.key: record.reason for record in records},
}))
"""
"""Conducts a plan where PyTorch cannot be imported, on an engine that loses every unit."""


def test_a_plan_is_conducted_by_a_process_without_pytorch(tmp_path: Path) -> None:
    """Its units are those of a process that has it, and every cell has a record at the end."""
    request = make_request(tmp_path, "knn", backbones=("raw_pixels",))
    workspace = make_workspace(request)
    plan = make_plan(request, workspace)
    cards = workspace.cards_of(["raw_pixels"])
    (tmp_path / "plan.json").write_text(plan.to_json())
    (tmp_path / "cards.json").write_text(json.dumps([card.model_dump_json() for card in cards]))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    seconds = estimate(plan, workspace).work.seconds_per_image
    assert {unit.id for unit in units(plan, seconds, 1, 0.001)} == {*result["units"]}
    assert result["reasons"].keys() == {cell.key for cell in plan.cells}
    for reason in result["reasons"].values():
        assert reason.startswith("its machine was lost 3 times")
