"""Plans are data: they round-trip as JSON, divide into parts, and refuse other inputs."""

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bob.backbones.backbone import Backbone
from bob.engine import embedding as embedding_module
from bob.engine.embedders import EmbedderCache
from bob.engine.embedding import Embedding
from bob.engine.scoring import Scoring
from bob.errors import ConfigError, DatasetError, PlanMismatchError
from bob.extraction import embedder as embedder_module
from bob.plan import (
    Machine,
    Places,
    Request,
    Workspace,
    make_plan,
    make_workspace,
    read_plan,
)
from bob.registry import Selected
from bob.specs import GRID, Output
from tests.builders.planned_runs import Silent, run
from tests.builders.plans import BACKBONES, REGISTRY, make_request

TASKS = ("knn", "linear", "resize_normalise")


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., Request]:
    """Make requests over two small folders of images."""
    return partial(make_request, tmp_path)


def test_a_plan_round_trips_as_json(request_of):
    plan = make_plan(request_of(*TASKS))
    again = read_plan(plan.to_json(), "plan")
    assert again == plan and again.to_json() == plan.to_json()
    assert type(again.tasks["knn"].settings) is type(REGISTRY.tasks["knn"].settings)


def test_a_plan_holds_names_and_digests_only(request_of):
    """Two datasets, three backbones: one pass per split, in which each backbone appears once."""
    plan = make_plan(request_of("knn", "linear"))
    assert [(one.dataset, one.split, one.count) for one in plan.passes] == [
        ("first", "train", 24),
        ("first", "test", 6),
        ("second", "train", 18),
        ("second", "test", 6),
    ]
    for one in plan.passes:
        assert [forward.backbone for forward in one.forwards] == list(BACKBONES)
    assert len(plan.cells) == 2 * 2 * 3
    stored = {key for one in plan.passes for f in one.forwards for key in f.outputs.values()}
    assert {key for cell in plan.cells for key in cell.features} == stored


def test_variants_are_named_in_the_plan(request_of):
    plan = make_plan(request_of("resize_normalise", backbones=("raw_pixels",)))
    variants = [name for name in plan.backbones if name != "raw_pixels"]
    assert variants and all(re.fullmatch(r"raw_pixels~[0-9a-f]{8}", name) for name in variants)
    entry = plan.backbones["raw_pixels"]
    assert all(plan.backbones[name].preprocessing != entry.preprocessing for name in variants)


def test_a_feature_map_is_refused_where_one_row_per_image_is_read(request_of):
    """Before anything is embedded, and for this backbone alone."""
    request = request_of("knn", backbones=("raw_pixels",))
    grid = request.backbones[0].spec.variant(output=GRID).model_copy(update={"name": "grid"})
    card = make_workspace(request).card(request.backbones[0].spec)
    workspace = make_workspace(request)
    workspace._cards[grid] = card.model_copy(update={"shape": (2, 2, 3)})
    request = replace(request, backbones=[*request.backbones, Selected(grid, exact=True)])
    plan = make_plan(request, workspace)
    assert {cell.backbone for cell in plan.cells} == {"raw_pixels"}
    assert {unscored.reason for unscored in plan.not_applicable} == {
        "task 'knn': reads one row per image, and output 'grid' is a feature map; "
        "choose one that is pooled, such as mean_patch."
    }


def test_a_variant_in_the_plan_is_one_that_its_loader_accepts(request_of, monkeypatch):
    """Its forward pass may have no output of the usual name; the entry's own output is kept."""
    request = request_of("resize_normalise", backbones=("raw_pixels",))
    spec = request.backbones[0].spec.model_copy(update={"output": Output(pool="mean_patch")})
    request = replace(request, backbones=[Selected(spec, exact=True)])
    card = make_workspace(request_of("knn")).card(REGISTRY.backbones["raw_pixels"])

    def card_of(self, of):
        return card.model_copy(update={"geometry": {"preprocessing": str(of.preprocessing)}})

    monkeypatch.setattr(Workspace, "card", card_of)
    plan = make_plan(request)
    assert len(plan.backbones) > 1
    assert {str(of.output) for of in plan.backbones.values()} == {"mean_patch"}


def test_a_backbone_is_loaded_once_for_all_passes(request_of, monkeypatch):
    request = request_of("knn", backbones=("raw_pixels", "channel_statistics"))
    make_plan(request)  # makes the cards
    workspace, loaded = make_workspace(request), []
    real = embedding_module.load_planned

    def load(spec, *where, offline):
        loaded.append(spec.name)
        return real(spec, *where, offline=offline)

    monkeypatch.setattr(embedding_module, "load_planned", load)
    plan = make_plan(request, workspace)
    assert len(plan.passes) == 4
    run(plan, workspace)
    assert sorted(loaded) == ["channel_statistics", "raw_pixels"]


def test_a_resumed_run_chooses_its_runtimes_as_the_stopped_one(request_of, monkeypatch):
    """What pays is decided over all images of the plan, stored ones included."""
    request = replace(request_of("knn", backbones=("raw_pixels",)), machine=Machine(runtime="auto"))
    totals, real = [], embedder_module.tune
    monkeypatch.setattr(
        embedder_module,
        "tune",
        lambda backbone, images, *how: totals.append(images.total) or real(backbone, images, *how),
    )
    plan = make_plan(request)
    run(plan, make_workspace(request))
    shards = sorted(request.places.features().root.rglob("*.safetensors"))
    assert len(shards) == 4
    shards[1].unlink()
    run(plan, make_workspace(request))
    assert totals == [sum(one.count for one in plan.passes)] * 2


def test_parts_are_disjoint_complete_and_self_contained(request_of):
    plan = make_plan(request_of(*TASKS))
    for count in (1, 2, 3, 5, 6, 9):
        parts = [plan.part(number, count) for number in range(1, count + 1)]
        keys = [cell.key for part in parts for cell in part.cells]
        assert sorted(keys) == sorted(cell.key for cell in plan.cells)
        for part in parts:
            stored = {
                key for one in part.passes for f in one.forwards for key in f.outputs.values()
            }
            assert stored == {key for cell in part.cells for key in cell.features}
    with pytest.raises(ConfigError, match="part 3/2: must be between 1/2 and 2/2"):
        plan.part(3, 2)


def test_the_plan_of_a_dataset_has_its_cells_and_the_passes_that_they_read(request_of):
    plan = make_plan(request_of(*TASKS))
    by_dataset = plan.by_dataset()
    assert list(by_dataset) == plan.datasets_to_do()
    for name, of_dataset in by_dataset.items():
        assert of_dataset == plan.of_cells(tuple(c for c in plan.cells if c.dataset == name))


def test_parts_in_processes_of_their_own_give_the_records_of_one_run(request_of, tmp_path):
    """Each part is read from JSON and carried out in a fresh workspace."""
    request = request_of("knn", "linear")
    text = make_plan(request).to_json()
    for number in (2, 1, 3):
        part = read_plan(text, "plan").part(number, 3)
        run(part, Workspace(request.places, part.settings, request.machine, part.datasets))
    places = Places(tmp_path / "other cache", tmp_path / "other results")
    alone = dataclasses.replace(request, places=places)
    workspace = make_workspace(alone)
    run(make_plan(alone, workspace), workspace)

    def scores(places: Places) -> dict[str, object]:
        records, damaged = places.records().read_all()
        assert not damaged
        return {record.key: record.scores for record in records}

    assert scores(request.places) == scores(places) and len(scores(places)) == 12


def test_what_is_done_is_not_planned_again(request_of):
    request = request_of("knn")
    workspace = make_workspace(request)
    run(make_plan(request, workspace), workspace)
    plan = make_plan(request)
    assert (plan.cells, plan.passes, len(plan.done)) == ((), (), 6)
    fresh = make_plan(request_of("knn", fresh=True))
    assert (len(fresh.cells), fresh.done) == (6, ())


def test_records_without_scores_that_were_added_since_are_completed(request_of):
    """Under the same keys and from stored features; no pass begins."""
    request = request_of("knn", backbones=("raw_pixels",))
    workspace = make_workspace(request)
    run(make_plan(request, workspace), workspace)
    before, _ = request.places.records().read_all()
    gained = [task.model_copy(update={"additions": task.additions + 1}) for task in request.tasks]
    request = dataclasses.replace(request, tasks=gained)
    workspace = make_workspace(request)
    plan = make_plan(request, workspace)
    assert (len(plan.cells), plan.lacking, plan.done) == (2, 2, ())
    assert read_plan(plan.to_json(), "plan").lacking == 2
    assert run(plan, workspace).passes == []
    after, _ = request.places.records().read_all()
    assert [one.key for one in after] == [one.key for one in before]
    assert [one.scores for one in after] == [one.scores for one in before]
    assert {one.task.additions for one in after} == {gained[0].additions}
    plan = make_plan(request)
    assert (plan.cells, plan.lacking, len(plan.done)) == ((), 0, 2)


def test_features_shared_by_datasets_are_embedded_once(request_of, tmp_path):
    """A copy of a folder under another name has the same images, and so the same features."""
    request = request_of("knn", backbones=("raw_pixels",))
    copy = request.entries["first"].model_copy(update={"name": "copy"})
    datasets = {"knn": [*request.datasets["knn"], Selected(copy, exact=True)]}
    request = dataclasses.replace(request, datasets=datasets)
    workspace = make_workspace(request)
    plan = make_plan(request, workspace)
    assert {one.dataset for one in plan.passes} == {"first", "second"}
    assert len(run(plan, workspace).passes) == 4


def test_other_images_than_planned_are_refused(request_of, tmp_path):
    request = request_of("knn", backbones=("raw_pixels",))
    plan = make_plan(request)
    (next((tmp_path / "first").rglob("*.png"))).unlink()
    workspace = Workspace(request.places, plan.settings, request.machine, plan.datasets)
    run(plan, workspace)
    records, _ = request.places.records().read_all()
    by_dataset = {record.dataset_name: record for record in records}
    assert by_dataset["second"].status == "ok" and by_dataset["first"].status == "failed"
    assert "are not those of the plan" in str(by_dataset["first"].reason)


def test_other_weights_than_planned_are_refused(request_of):
    request = request_of("knn", backbones=("random_convolution",))
    plan = make_plan(request)
    other = plan.backbones["random_convolution"].model_copy(
        update={
            "weights": plan.backbones["random_convolution"].weights.model_copy(update={"random": 9})
        }
    )
    stale = plan.model_copy(update={"backbones": {"random_convolution": other}})
    workspace = Workspace(request.places, plan.settings, request.machine, plan.datasets)
    listener = run(stale, workspace)
    assert listener.passes == []
    records, _ = request.places.records().read_all()
    assert {record.status for record in records} == {"failed"}
    with pytest.raises(PlanMismatchError, match="other weights, images or library versions"):
        embedding = Embedding(stale, workspace, EmbedderCache("cpu"), {})
        embedding._targets(plan.passes[0], plan.passes[0].forwards[0])


def test_a_failing_backbone_leaves_its_reason_in_the_store(request_of, monkeypatch):
    """Another worker, in another workspace, learns from the store why there are no features."""
    request = request_of("knn", backbones=("raw_pixels", "channel_statistics"))
    plan = make_plan(request)
    real = Backbone.forward

    def fail(self, crops, outputs):
        if self.spec.name == "raw_pixels":
            raise RuntimeError("no luck")
        return real(self, crops, outputs)

    monkeypatch.setattr(Backbone, "forward", fail)
    first = Workspace(request.places, plan.settings, request.machine, plan.datasets)
    for one in plan.passes:
        Embedding(plan, first, EmbedderCache("cpu"), {}).do_pass(one, Silent())
    monkeypatch.undo()
    again = Workspace(request.places, plan.settings, request.machine, plan.datasets)
    records = [Scoring(plan, again).record_of(cell)[0] for cell in plan.cells]
    reasons = {r.backbone_name: (r.status, r.reason) for r in records}
    assert reasons["channel_statistics"] == ("ok", None)
    assert reasons["raw_pixels"][0] == "failed" and "no luck" in str(reasons["raw_pixels"][1])
    run(plan, make_workspace(request))
    assert {record.status for record in request.places.records().read_all()[0]} == {"ok"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "mine: is not JSON"),
        ('{"version": 1, "passes": [{"images": {"split": Infinity}}]}', "Infinity is not a finite"),
        ('{"version": NaN}', "NaN is not a finite number"),
        ('{"version": 1e999}', "1e999 is not a finite number"),
        ("[]", "mine: is not a plan of version 1 .version None."),
        ('{"version": 99}', "mine: is not a plan of version 1 .version 99."),
        ('{"version": 1, "settings": {}}', "mine: key 'backbones' is missing"),
        (
            '{"version": 1, "settings": {}, "backbones": {}, "datasets": {}, "tasks": '
            '{"a": {"name": "a", "protocol": "nope"}}}',
            "plan: task 'a': protocol must be one of",
        ),
        (
            '{"version": 1, "settings": {}, "backbones": {}, "datasets": {}, "tasks": {"a": 1.5}}',
            "plan: task 'a': must be a mapping; got 1.5",
        ),
    ],
)
def test_a_text_that_is_no_plan_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        read_plan(text, "mine")


def test_no_dataset_that_works_is_an_error(request_of, tmp_path):
    request = request_of("knn")
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    with pytest.raises(DatasetError):
        make_plan(request)


def test_a_plan_is_small(request_of):
    """A cell costs some hundred bytes, since specs are stated once."""
    plan = make_plan(request_of("knn", "linear"))
    assert max(len(json.dumps(cell.model_dump(mode="json"))) for cell in plan.cells) < 500
