"""Features are stored under the key of the weights that made them, and of no others."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from bob.backbones import card as card_module
from bob.backbones.card import load_backbone, load_planned, require_planned_text
from bob.errors import BackboneError, PlanMismatchError
from bob.plan import Machine, Places, Request, RunSettings, make_plan, make_workspace
from bob.records.record import Record
from bob.registry import Selected, load_registry
from bob.specs import BackboneSpec, DatasetSpec, FolderSource
from tests.builders.backbone_entries import SMALL, entry, make_card
from tests.builders.photos import make_photos
from tests.builders.planned_runs import run

REGISTRY = load_registry()


def write_weights(path: Path, seed: int) -> None:
    """Write weights in place, as a training run that saves its last checkpoint does."""
    torch.manual_seed(seed)
    save_file(timm.create_model(SMALL, num_classes=0).state_dict(), path)


def backbone(path: Path) -> BackboneSpec:
    return entry(weights={"file": str(path)}, preprocessing={"input_px": 64})


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[[BackboneSpec], Request]:
    folder = make_photos(tmp_path / "photos", per_class=8)
    dataset = DatasetSpec(name="photos", source=FolderSource(reader="folder", path=str(folder)))

    def make(spec: BackboneSpec) -> Request:
        return Request(
            backbones=[Selected(spec, exact=True)],
            tasks=[REGISTRY.tasks["knn"]],
            datasets={"knn": [Selected(dataset, exact=True)]},
            entries={"photos": dataset},
            places=Places(tmp_path / "cache", tmp_path / "results"),
            settings=RunSettings(),
            machine=Machine(offline=True),
        )

    return make


def records(request: Request) -> list[Record]:
    return list(request.places.records().read_all()[0])


def test_weights_that_are_replaced_after_the_plan_give_no_score(request_for, tmp_path):
    """The file gets its old times back: only the tensors themselves tell."""
    path = tmp_path / "last.safetensors"
    write_weights(path, seed=1)
    request = request_for(backbone(path))
    workspace = make_workspace(request)
    plan, stat = make_plan(request, workspace), path.stat()
    write_weights(path, seed=2)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    run(plan, workspace)
    (record,) = records(request)
    assert record.status == "failed"
    assert "has other weights than when the run was planned" in str(record.reason)
    assert not list(request.places.features().root.rglob("*.safetensors"))

    again = make_workspace(request)
    run(make_plan(request, again), again)
    scored = [record for record in records(request) if record.status == "ok"]
    loaded = card_module.tensor_hash(
        load_backbone(backbone(path), "cpu", "float32", offline=True).module.state_dict()
    )
    assert [record.backbone.weights_hash for record in scored] == [loaded]


def test_a_card_of_replaced_weights_is_forgotten(tmp_path, monkeypatch):
    """Even where a file system's times are too coarse to show that a file was replaced."""
    path = tmp_path / "w.safetensors"
    write_weights(path, seed=1)
    planned = make_card(backbone(path), tmp_path)
    write_weights(path, seed=2)
    monkeypatch.setattr(card_module, "stamps", lambda _: planned.files)
    monkeypatch.setattr(card_module, "_card_key", lambda *_: "one")
    (tmp_path / "backbones" / "one.json").write_text(planned.model_dump_json())
    assert make_card(backbone(path), tmp_path) == planned
    with pytest.raises(PlanMismatchError, match="has other weights"):
        load_planned(backbone(path), planned, tmp_path, "cpu", "float32", offline=True)
    assert not (tmp_path / "backbones" / "one.json").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"forward": {"loader": "timm"}}, "has another forward pass"),
        ({"geometry": {"input_px": 65}}, "has another preprocessing"),
        ({"normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, "has another preprocessing"),
    ],
)
def test_all_that_a_key_says_of_a_backbone_is_compared(tmp_path, changed, message):
    path = tmp_path / "w.safetensors"
    write_weights(path, seed=1)
    planned = make_card(backbone(path), tmp_path)
    where: tuple[Any, ...] = (tmp_path, "cpu", "float32")
    assert load_planned(backbone(path), planned, *where, offline=True)
    fast = planned.model_copy(update={"geometry": planned.geometry | {"preprocessing": "fast"}})
    assert load_planned(backbone(path), fast, *where, offline=True)
    with pytest.raises(PlanMismatchError, match=message):
        load_planned(backbone(path), planned.model_copy(update=changed), *where, offline=True)


def test_a_text_tower_that_was_replaced_after_the_plan_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    write_weights(path, seed=1)
    planned = make_card(backbone(path), tmp_path)
    loaded = load_backbone(backbone(path), "cpu", "float32", offline=True)
    require_planned_text(loaded, planned)  # neither has one
    facts = {"weights_hash": "b", "tokenizer": "words"}
    loaded.text_facts = lambda: facts  # type: ignore[method-assign]
    with_text = planned.model_copy(update={"text": facts})
    require_planned_text(loaded, with_text)
    with pytest.raises(PlanMismatchError, match="the weights_hash of its text tower differs"):
        require_planned_text(
            loaded, planned.model_copy(update={"text": {**facts, "weights_hash": "a"}})
        )


def test_weights_that_are_written_while_they_are_read_make_no_card(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    write_weights(path, seed=1)

    def load_and_overwrite(*arguments: Any, **options: Any) -> Any:
        loaded = load_backbone(*arguments, **options)
        write_weights(path, seed=2)
        return loaded

    monkeypatch.setattr(card_module, "load_backbone", load_and_overwrite)
    with pytest.raises(BackboneError, match=r"w\.safetensors' was written while it was read"):
        make_card(backbone(path), tmp_path)
    assert not list((tmp_path / "backbones").glob("*.json"))
