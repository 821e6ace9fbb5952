"""A worker in a fresh process computes as its terms say, and as the plan says."""

import json
from pathlib import Path

import pytest

from bob.engine.ray_worker import (
    Began,
    Progress,
    _ReportingListener,
    require_same_inputs,
    versions,
)
from bob.engine.units import units
from bob.errors import ConfigError
from bob.plan import Plan, make_plan
from tests.builders.fresh_process import run_python
from tests.builders.plans import BACKBONES, make_request

PROGRAM = """
import json, socket, sys
from pathlib import Path

import torch

from bob.engine.ray_worker import Ended, RayWorker, Terms
from bob.plan import Machine, Places, RunSettings

def refuse(*_):
    raise AssertionError("offline, and yet a connection")

socket.socket.connect = socket.create_connection = refuse
folder, unit = Path(sys.argv[1]), Path(sys.argv[2]).read_text()
places = Places(folder / "cache", folder / "results")
terms = Terms(places, RunSettings(), Machine(offline=True), 3, folder)
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
*_, last = RayWorker(terms).do(unit)
tf32 = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
stored = [*folder.rglob("*.safetensors")]
print(json.dumps([isinstance(last, Ended), torch.get_num_threads(), tf32, len(stored)]))
"""


def first_unit(folder: Path, plan: Plan) -> Path:
    file = folder / "unit.json"
    file.write_text(next(units(plan, dict.fromkeys(BACKBONES, 0.0), 1)).model_dump_json())
    return file


def outcome(folder: Path, unit: Path) -> list[int]:
    """Do a unit in a new process: whether it ended, threads, TF32, stored files."""
    done = run_python(["-c", PROGRAM, str(folder), str(unit)])
    assert done.returncode == 0, done.stderr
    ended: list[int] = json.loads(done.stdout)
    return ended


def test_a_worker_uses_its_threads_without_tf32_and_without_a_network(tmp_path: Path) -> None:
    plan = make_plan(make_request(tmp_path, "knn"))
    is_ended, threads, tf32, stored = outcome(tmp_path, first_unit(tmp_path, plan))
    assert (is_ended, threads, tf32) == (True, 3, False) and stored


def test_a_worker_with_other_weights_or_images_stores_nothing(tmp_path: Path) -> None:
    """The plan names other features than this process would make."""
    plan = make_plan(make_request(tmp_path, "knn"))
    passes = []
    for whole in plan.passes:
        forwards = tuple(
            forward.model_copy(
                update={"outputs": {name: "0" * len(key) for name, key in forward.outputs.items()}}
            )
            for forward in whole.forwards
        )
        passes.append(whole.model_copy(update={"forwards": forwards}))
    other = plan.model_copy(update={"passes": tuple(passes)})
    is_ended, *_, stored = outcome(tmp_path, first_unit(tmp_path, other))
    assert is_ended and not stored


def began(versions: dict[str, str], unshared: tuple[str, ...] = ()) -> Began:
    return Began("node-7", {}, versions, unshared)


def test_versions_of_a_worker_are_those_of_the_driver_apart_from_the_build() -> None:
    here = versions()
    assert {"python", "bob", "torch", "numpy", "pillow", "timm", "openvino"} <= here.keys()
    require_same_inputs(began({**here, "torch": here["torch"].partition("+")[0] + "+cu128"}), here)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"torch": "9.9.9"}, r"'node-7' has other versions: torch 9\.9\.9 \(here 2"),
        ({"openvino": None}, r"'node-7' has other versions: openvino none \(here 2"),
        ({"unheard": "1.0"}, r"'node-7' has other versions: unheard 1\.0 \(here none\)\. Results"),
    ],
)
def test_a_worker_with_other_libraries_is_refused(
    changed: dict[str, str | None], message: str
) -> None:
    here = versions()
    there = {name: found for name, found in {**here, **changed}.items() if found}
    with pytest.raises(ConfigError, match=message):
        require_same_inputs(began(there), here)


def test_a_worker_that_sees_other_folders_is_refused() -> None:
    with pytest.raises(ConfigError, match="'node-7' sees other folders at /cache, /results"):
        require_same_inputs(began(versions(), ("/cache", "/results")), versions())


def test_a_worker_reports_notices() -> None:
    listener = _ReportingListener()
    listener.notice("other threads than planned")
    listener.forwarded("raw_pixels", 4, 0.5)
    listener.end()
    expected = Progress([("raw_pixels", 4, 0.5)], [], ["other threads than planned"])
    assert (listener.take(), listener.take()) == (expected, None)
