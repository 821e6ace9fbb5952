"""The runtimes that a plan states, and that all processes follow which carry it out."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from bob.backbones.backbone import Backbone
from bob.engine.engine import SilentEngineListener
from bob.engine.units import Unit
from bob.engine.worker import Worker
from bob.errors import USAGE, ConfigError
from bob.extraction.device import device_name
from bob.extraction.runtimes import candidates
from bob.extraction.runtimes.candidates import Candidate
from bob.extraction.runtimes.choices import Choice, ChoiceFile
from bob.extraction.runtimes.eager import Eager
from bob.extraction.runtimes.stated import RuntimeChoice
from bob.plan import (
    Forward,
    Machine,
    Places,
    Plan,
    Request,
    Workspace,
    make_plan,
    make_workspace,
    read_plan,
)
from bob.plan.runtimes import remembered, stated_runtimes
from bob.registry import Selected
from bob.specs import Output
from tests.builders.backbone_entries import entry, preprocessing
from tests.builders.fresh_process import run_python
from tests.builders.photos import make_photos
from tests.builders.plans import REGISTRY, make_request

MODEL = device_name(torch.device("cpu"))
TUNED = Machine(runtime="auto", shares_runtimes=True, offline=True)
CODE = f"""
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(2), nn.AvgPool1d(16 * 16), nn.Flatten()), {preprocessing(16)}
"""


def choice(runtime: str, batch_size: int, more_threads: int = 0) -> RuntimeChoice:
    values = {"runtime": runtime, "batch_size": batch_size}
    return RuntimeChoice.model_validate({**values, "threads": threads() + more_threads})


def threads() -> int:
    return torch.get_num_threads()


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., Request]:
    """Make requests for a network and a baseline on one folder of images."""
    (tmp_path / "mean.py").write_text(CODE)
    network = entry("python", f"{tmp_path / 'mean.py'}:make")

    def make(machine: Machine = TUNED) -> Request:
        request = make_request(tmp_path, "knn")
        chosen = [network, REGISTRY.backbones["raw_pixels"]]
        return replace(
            request,
            backbones=[Selected(spec, exact=True) for spec in chosen],
            datasets={"knn": request.datasets["knn"][:1]},
            machine=machine,
        )

    return make


def remember(
    workspace: Workspace,
    plan: Plan,
    runtime: str,
    batch_size: int,
    model: str = MODEL,
    more_threads: int = 0,
    outputs: tuple[str, ...] = ("default",),
) -> None:
    """Save a choice for the network as a process on a model of device does."""
    forward = Forward(backbone="mine", outputs=dict.fromkeys(outputs, ""))
    file = remembered(workspace, plan.backbones["mine"], forward)
    place = ["cpu", model, threads() + more_threads]
    file = ChoiceFile(file.folder, {**file.conditions, "device": place})
    file.save(Choice(runtime, batch_size, 1e-3))


def test_a_plan_states_what_the_cache_remembers_of_every_model_with_as_many_threads(request_of):
    """Neither what was chosen for other threads, nor a runtime that does not exist."""
    request = request_of()
    workspace = make_workspace(request)
    plan = make_plan(request, workspace)
    assert plan.runtimes == {} and "runtimes" not in json.loads(plan.to_json())
    remember(workspace, plan, "openvino", 5)
    remember(workspace, plan, "eager", 7, "Another processor")
    remember(workspace, plan, "eager", 9, "A third processor", more_threads=1)
    remember(workspace, plan, "abacus", 1, "A fourth processor")
    plan = make_plan(request)
    expected = {MODEL: choice("openvino", 5), "Another processor": choice("eager", 7)}
    assert plan.runtimes == {"mine": expected}
    again = read_plan(plan.to_json(), "plan")
    assert again == plan and again.runtimes == plan.runtimes


def test_what_is_remembered_is_looked_up_once_for_all_passes(request_of, monkeypatch):
    request = request_of()
    workspace, asked = make_workspace(request), []
    remember(workspace, make_plan(request, workspace), "openvino", 5)

    def counted(*where: object) -> ChoiceFile:
        asked.append(where)
        return remembered(*where)

    monkeypatch.setattr("bob.plan.runtimes.remembered", counted)
    plan = make_plan(request, workspace)
    assert [len(whole.forwards) for whole in plan.passes] == [2, 2] and len(asked) == 1


def test_parts_of_a_plan_keep_the_runtimes_of_their_backbones(request_of):
    request = request_of(Machine(runtime="eager", batch_size=3, offline=True))
    plan = make_plan(request)
    assert plan.runtimes == {"mine": {MODEL: choice("eager", 3)}}
    of_baseline, of_network = (
        plan.narrowed(cells=tuple(cell for cell in plan.cells if cell.backbone == name))
        for name in ("raw_pixels", "mine")
    )
    assert (of_baseline.runtimes, of_network.runtimes) == ({}, plan.runtimes)
    assert plan.part(2, 2).runtimes == plan.runtimes


def test_runtimes_of_a_backbone_that_the_plan_lacks_are_refused(request_of):
    values = json.loads(make_plan(request_of()).to_json())
    stated = {"runtime": "eager", "batch_size": 4, "threads": 1}
    values["runtimes"] = {"mine2": {MODEL: stated}}
    with pytest.raises(ConfigError, match=r"runtimes are of backbones that the plan lacks.*mine2"):
        read_plan(json.dumps(values), "plan")
    values["runtimes"] = {"mine": {MODEL: {**stated, "batch_size": 0}}}
    with pytest.raises(ConfigError, match=r"batch_size"):
        read_plan(json.dumps(values), "plan")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, choice("openvino", 5)),
        ({"runtime": "eager", "batch_size": 3}, choice("eager", 3)),
        ({"runtime": "eager"}, None),
        ({"batch_size": 3}, None),
        ({"is_remote": True}, None),
        ({"is_remote": True, "runtime": "eager", "batch_size": 3}, None),
    ],
)
def test_flags_state_a_runtime_where_they_leave_no_choice(request_of, changes, expected):
    request = request_of()
    workspace = make_workspace(request)
    plan = make_plan(request, workspace)
    remember(workspace, plan, "openvino", 5)
    stated = make_plan(request_of(replace(TUNED, **changes))).runtimes
    assert stated == ({"mine": {MODEL: expected}} if expected else {})


def test_a_backbone_has_the_runtime_of_its_largest_pass_for_all_outputs(request_of):
    """24 images are for training, with one output, and 6 for the test, with two."""
    request = request_of()
    workspace = make_workspace(request)
    plan = make_plan(request, workspace)
    train, test = (whole.model_copy(update={"forwards": ()}) for whole in plan.passes)
    one = Forward(backbone="mine", outputs={"default": ""})
    two = Forward(backbone="mine", outputs={"default": "", "mean_patch": ""})
    passes = [
        test.model_copy(update={"forwards": (two,)}),
        train.model_copy(update={"forwards": (one,)}),
    ]
    remember(workspace, plan, "openvino", 5, outputs=("default", "mean_patch"))
    assert stated_runtimes(passes, plan.backbones, workspace) == {
        "mine": {MODEL: choice("openvino", 5)}
    }
    remember(workspace, plan, "eager", 7)
    assert stated_runtimes(passes, plan.backbones, workspace) == {
        "mine": {MODEL: choice("eager", 7)}
    }


def twin_of_eager(backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> Eager:
    """Return eager PyTorch under the name of another runtime."""
    twin = Eager(backbone, batch_size)
    twin.name = "openvino"
    return twin


def efforts(folder: Path) -> list[tuple[str, int]]:
    """Return runtime and batch size of every stored shard."""
    found = []
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "numpy") as shard:
            effort = json.loads(shard.metadata()["effort"])
            found.append((effort["runtime"], effort["batch_size"]))
    return found


@pytest.mark.parametrize("is_stated", [False, True])
def test_workers_that_remember_different_runtimes_store_features_of_the_planned_one(
    request_of, tmp_path, monkeypatch, is_stated
):
    """Each embeds one of two spans; without the plan's word each follows its own cache."""
    monkeypatch.setattr("bob.features.sharding.SPAN_IMAGES", 16)
    twin = Candidate("openvino", twin_of_eager, "torch", setup_seconds=1.0, speedup=2.0)
    monkeypatch.setattr(candidates, "CANDIDATES", (twin,))
    request = request_of()
    plan = make_plan(request).of_backbones(["mine"])
    runtimes = {"mine": {MODEL: choice("eager", 3)}} if is_stated else {}
    work = plan.model_copy(update={"runtimes": runtimes}).narrowed(passes=plan.passes[:1])
    for number, remembers in enumerate([("openvino", 5), ("eager", 7)]):
        places = Places(tmp_path / f"cache {number}", tmp_path / "results", tmp_path / "features")
        workspace = Workspace(places, plan.settings, TUNED, plan.datasets)
        remember(workspace, plan, *remembers)
        unit = Unit(kind="embed", plan=work, spans=(number, number + 1))
        received = Unit.model_validate_json(unit.model_dump_json())
        Worker(workspace).do(received, SilentEngineListener())
    expected = [("eager", 3), ("eager", 3)] if is_stated else [("eager", 7), ("openvino", 5)]
    assert sorted(efforts(tmp_path / "features")) == expected


def test_another_process_follows_the_plan_although_its_cache_remembers_another_runtime(
    bob, request_of, tmp_path
):
    """The plan is made with flags; the process that carries it out gets none of them."""
    photos, registry = make_photos(tmp_path / "photos", per_class=8), tmp_path / "registry.yaml"
    request = request_of()
    network = request.backbones[0].spec.architecture
    registry.write_text(f"mine: {{family: ssl, loader: python, architecture: '{network}'}}\n")
    fixed = ["run", "--device", "cpu", "--offline", "--allow-code"]
    asked = ["--data", photos, "--tasks", "knn", "--registry", registry, "--backbones", "mine"]
    how = ["--runtime", "eager", "--batch-size", "3", "--dry-run", "--json"]
    code, text, err = bob(*fixed, *asked, *how)
    assert code == 0, err
    plan, file = read_plan(text, "plan"), tmp_path / "plan.json"
    assert plan.runtimes == {"mine": {MODEL: choice("eager", 3)}}
    file.write_text(text)

    places = Places(tmp_path / "other cache", tmp_path / "other results")
    workspace = Workspace(places, plan.settings, TUNED, plan.datasets)
    remember(workspace, plan, "openvino", 5)
    folders = ["--cache-dir", str(places.cache), "--results", str(places.results)]
    words = ["-m", "bob", *fixed, "--plan", str(file), *folders]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads())}
    done = run_python(words, environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert efforts(places.features().root) == [("eager", 3)] * 2


def test_a_planned_runtime_that_is_not_installed_ends_the_run_before_it_stores_anything(
    bob, request_of, tmp_path, monkeypatch
):
    request = request_of()
    workspace = make_workspace(request)
    plan = make_plan(request, workspace)
    remember(workspace, plan, "onnxruntime", 5)
    file = tmp_path / "plan.json"
    file.write_text(make_plan(request).to_json())
    monkeypatch.setattr("bob.plan.runtimes.usable_candidates", lambda *_: [])
    words = ["run", "--plan", file, "--device", "cpu", "--offline", "--allow-code"]
    code, _, err = bob(*words)
    assert code == USAGE and "the plan states onnxruntime for backbone 'mine'" in err
    assert "--runtime eager --batch-size 4" in err
    assert not list(request.places.features().root.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("failure.json"))
    code, _, err = bob(*words, "--runtime", "eager", "--batch-size", "4")
    assert code == 0, err
    assert set(efforts(request.places.features().root)) >= {("eager", 4)}
