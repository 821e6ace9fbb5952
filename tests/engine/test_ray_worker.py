"""A worker in a fresh process computes as its terms say, and as the plan says."""

import json
from pathlib import Path

from bob.engine.units import units
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
