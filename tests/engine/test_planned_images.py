"""Scores are of the images that were planned, or there are none."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bob.plan import Machine, Places, Plan, Request, RunSettings, Workspace, make_plan
from bob.plan import make_workspace as open_workspace
from bob.records.record import Record
from bob.registry import Selected, load_registry
from bob.specs import DatasetSpec, FolderSource
from tests.builders.photos import make_photos
from tests.builders.planned_runs import run

REGISTRY = load_registry()


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., Request]:
    folder = make_photos(tmp_path / "photos", per_class=8)
    dataset = DatasetSpec(name="photos", source=FolderSource(reader="folder", path=str(folder)))

    def make(cache: str = "cache", **settings: bool) -> Request:
        return Request(
            backbones=[Selected(REGISTRY.backbones["raw_pixels"], exact=True)],
            tasks=[REGISTRY.tasks["knn"]],
            datasets={"knn": [Selected(dataset, exact=True)]},
            entries={"photos": dataset},
            places=Places(tmp_path / cache, tmp_path / f"results of {cache}"),
            settings=RunSettings(**settings),
            machine=Machine(offline=True),
        )

    return make


def records(request: Request) -> list[Record]:
    return list(request.places.records().read_all()[0])


def planned(request: Request) -> tuple[Plan, Workspace]:
    workspace = open_workspace(request)
    return make_plan(request, workspace), workspace


def scored(request: Request) -> Record:
    run(*planned(request))
    (record,) = records(request)
    assert record.status == "ok", record.reason
    return record


def test_images_overwritten_during_a_run_and_restored_after_it_give_no_score(request_for, tmp_path):
    """The files have their old sizes and times again: only their bytes tell."""
    request = request_for()
    plan, workspace = planned(request)
    paths = sorted((tmp_path / "photos").rglob("*.png"))
    contents = [(path.read_bytes(), path.stat()) for path in paths]
    for path in paths:
        Image.new("RGB", (24, 24)).save(path)
    run(plan, workspace)
    (record,) = records(request)
    assert record.status == "failed"
    assert "images were changed during the run" in str(record.reason)
    assert "image 'class0/" in str(record.reason)
    assert "Run the same command again" in str(record.reason)
    assert not list(request.places.features().root.rglob("*.safetensors"))

    for path, (data, stat) in zip(paths, contents, strict=True):
        path.write_bytes(data)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    undisturbed = request_for("undisturbed")
    assert scored(request).scores == scored(undisturbed).scores


def test_an_image_unreadable_during_a_run_only_is_not_remembered_as_bad(request_for, tmp_path):
    request = request_for(skip_bad=True)
    plan, workspace = planned(request)
    path = tmp_path / "photos" / "class0" / "000.png"
    path.rename(tmp_path / "aside.png")
    run(plan, workspace)
    (record,) = records(request)
    assert record.status == "failed"
    assert "class0/000.png' could be read when the run was planned, and now" in str(record.reason)

    (tmp_path / "aside.png").rename(path)
    record = scored(request)
    assert record.dataset and not any(record.dataset.bad_images.values())


def test_an_image_that_was_unreadable_all_along_is_left_out(request_for, tmp_path):
    path = tmp_path / "photos" / "class0" / "000.png"
    data = path.read_bytes()
    path.unlink()
    path.symlink_to(tmp_path / "nowhere.png")
    request = request_for(skip_bad=True)
    record = scored(request)
    assert record.dataset and sum(map(len, record.dataset.bad_images.values())) == 1

    plan, workspace = planned(request_for("other", skip_bad=True))
    path.unlink()
    path.write_bytes(data)
    run(plan, workspace)
    (record,) = records(request_for("other"))
    assert "could not be read when the run was planned, and now can" in str(record.reason)
