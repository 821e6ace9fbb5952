"""Registry files with closed schemas, their error messages, and selection by name.

Every error names the file, the key, the value and the remedy.
"""

import shutil
from pathlib import Path

import pytest

from bob.errors import ConfigError, nearest
from bob.io.paths import shipped
from bob.metrics import METRICS
from bob.protocols import load_protocols
from bob.registry import (
    backbone_labels,
    dataset_labels,
    load_registry,
    select,
    task_labels,
)
from bob.specs.yaml import read_yaml

BACKBONE = "mine:\n  family: ssl\n  loader: timm\n  architecture: resnet18\n"
TASK = """version: 1
protocol: knn
summary: mine
settings:
  {k: [1, 5], temperature: 0.07, held_out: 0.2, max_queries: 10, metric: cosine, vote: weighted}
metrics: [top1]
datasets: [elpv]
"""
DATASET = "mine:\n  source: {reader: folder, path: photos}\n"


@pytest.fixture
def write(tmp_path: Path):
    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return make


def test_shipped_tasks_name_only_registered_datasets_and_metrics():
    registry = load_registry()
    assert {"linear", "knn"} <= set(registry.tasks)
    for task in registry.tasks.values():
        assert select(",".join(task.datasets), registry.datasets, "dataset", dataset_labels)
        assert set(task.metrics) <= set(METRICS) and isinstance(
            task.settings, load_protocols()[task.protocol].settings
        )


@pytest.mark.parametrize("name", load_registry().backbones)
def test_every_backbone_documents_itself(name):
    """Learned weights name their pretraining, licence and paper.

    The content-moderation sample was released without a paper.
    """
    spec = load_registry().backbones[name]
    assert spec.width is not None and spec.params is not None
    if spec.family == "baseline":
        assert spec.summary
    else:
        assert spec.pretraining and spec.licence and spec.weights
        assert spec.paper or (name == "resnet50thin_opennsfw" and spec.summary)


def test_no_weights_are_registered_under_two_names():
    sources = [
        (spec.architecture, spec.weights.model_dump_json() if spec.weights else "")
        for spec in load_registry().backbones.values()
    ]
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BACKBONE + "  wieghts: {}\n", "mine: unknown key 'wieghts'; did you mean 'weights'?"),
        (
            BACKBONE.replace("ssl", "sll"),
            "mine: family must be one of 'supervised', 'ssl'.*; got 'sll'",
        ),
        (BACKBONE.replace("  loader: timm\n", ""), "mine: key 'loader' is missing"),
        (
            BACKBONE.replace("resnet18", "1.10"),
            r"mine: architecture must be text \(quote it.*; got 1.1 \(float\)",
        ),
        (
            BACKBONE.replace("resnet18", "no"),
            r"mine: architecture must be text .*; got False \(bool\)",
        ),
        (BACKBONE + "  params: 1e6\n", r"mine: params must be a whole number; got '1e6' \(str\)"),
        (
            BACKBONE + "  preprocessing: {crop_pct: 9e-1}\n",
            r"mine: preprocessing.crop_pct must be a number "
            r"\(YAML reads 1e-3 as text: write 1.0e-3\)",
        ),
        (
            BACKBONE + "  preprocessing: {crop_pct: 1.5}\n",
            r"mine: preprocessing.crop_pct: input should be less than or equal to 1; got 1.5",
        ),
        (BACKBONE + "  gated: 1\n", r"mine: gated must be true or false; got 1 \(int\)"),
        (BACKBONE + "  groups: a\n", r"mine: groups must be a list; got 'a' \(str\)"),
        (BACKBONE + "  weights: hub\n", r"mine: weights must be a mapping; got 'hub' \(str\)"),
        (
            BACKBONE + "  weights: {hub: a/b, random: 0}\n",
            "mine: weights: needs exactly one of hub, tag, package, url, file, random; "
            "got hub, random",
        ),
        (
            BACKBONE + "  weights: {package: p}\n",
            "mine: weights: 'file' is missing: the path of the weights inside the package",
        ),
        (
            BACKBONE + "  weights: {random: 0, revision: c}\n",
            "mine: weights: 'revision' belongs to 'hub'",
        ),
        (BACKBONE + "  family: clip\n", "line 5: key 'family' is repeated: remove one"),
        (BACKBONE + "mine: {}\n", "line 5: key 'mine' is repeated"),
        (BACKBONE + "1: {}\n", "line 5: key 1 is not text: quote it"),
        ("a: &x {}\nb: *x\n", "line 1: anchors and aliases are not allowed: write the value out"),
        ("a: !!python/name:print {}\n", "line 1: could not determine a constructor"),
        ("a: [1\n", "line 2: "),
        (
            "mine:\n\tfamily: ssl\n",
            "line 2: found character .*: YAML is indented with spaces, not with tabs",
        ),
        ("mine\n  family: ssl\n", "line 2: mapping values .*: is a ':' missing on the line before"),
        (
            BACKBONE + "  preprocessing: {mean: [0.5, 0.5]}\n",
            r"mine: preprocessing.mean must be a longer list; got \[0.5, 0.5\]",
        ),
        (
            BACKBONE + "  weights: {path: a.pth}\n",
            r"mine: unknown key 'weights.path'\. Allowed keys: drop, file",
        ),
        ("- a\n", "must contain a mapping of keys to values; got list"),
        ("mine: 3\n", r"mine must be a mapping; got 3 \(int\)"),
        ("a b: {}\n", "'a b' is not a valid name"),
        ("all: {}\n", "'all' is not a valid name"),
        ("'=cmd|calc': {}\n", "'=cmd|calc' is not a valid name"),
        ("'-x': {}\n", "'-x' is not a valid name: .*first a letter or digit"),
        ("'a<b>': {}\n", "'a<b>' is not a valid name"),
        (
            "raw_pixels:\n" + BACKBONE.split("\n", 1)[1],
            "backbone 'raw_pixels' is already registered: choose another name",
        ),
    ],
)
def test_an_invalid_backbone_entry_is_an_error_that_names_file_and_key(write, text, message):
    path = write("mine.yaml", text)
    with pytest.raises(ConfigError, match=message) as raised:
        load_registry([path])
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TASK.replace("[1, 5]", "'20'"), r"settings: k must be a list; got '20' \(str\)"),
        (
            TASK.replace("[1, 5]", "[0]"),
            r"settings: k.0: input should be greater than or equal to 1; got 0",
        ),
        (TASK.replace("held_out: 0.2, ", ""), "settings: 'held_out' is missing: with several k"),
        (
            TASK.replace("[1, 5]", "[1]"),
            r"settings: 'held_out' belongs to several k; got 0.2 with k \[1\]",
        ),
        (TASK.replace("metric: cosine, ", ""), "settings: key 'metric' is missing"),
        (
            TASK.replace("held_out", "heldout"),
            "settings: unknown key 'heldout'; did you mean 'held_out'?",
        ),
        (
            TASK.replace("protocol: knn", "protocol: kn"),
            "protocol must be one of .*linear, .*; got 'kn'; did you mean 'knn'",
        ),
        (
            TASK.replace("protocol: knn", "protocol: [knn]"),
            r"protocol must be one of .*; got \['knn'\]",
        ),
        (TASK.replace("[top1]", "[]"), "metrics"),
        (
            TASK.replace("[top1]", "[top-1]"),
            "metrics must be names of metrics; got 'top-1'; did you mean 'top1'",
        ),
        (
            TASK.replace("version: 1", "version: '1'"),
            r"version must be a whole number; got '1' \(str\)",
        ),
    ],
)
def test_an_invalid_task_file_is_an_error_that_names_file_and_key(write, text, message):
    path = write("tasks/mine.yaml", text)
    with pytest.raises(ConfigError, match=message) as raised:
        load_registry(task_folders=[path.parent])
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            DATASET.replace("folder", "folded"),
            "source.reader must be one of 'huggingface', 'webdataset', 'folder'.*; got 'folded'",
        ),
        (DATASET.replace("reader: folder, ", ""), "key 'source.reader' is missing"),
        (DATASET + "  counts: {tset: 3}\n", "counts"),
        (
            "mine: {source: {reader: huggingface, image: i, label: l, splits: {train: t}}}\n",
            "needs exactly one of hub, path",
        ),
        (
            "mine: {source: {reader: huggingface, hub: a/b, image: i, label: l, splits: {}}}\n",
            "splits: .*at least 1 item",
        ),
        ("elpv:\n" + DATASET.split("\n", 1)[1], "dataset 'elpv' is already registered"),
    ],
)
def test_an_invalid_dataset_entry_is_an_error(write, text, message):
    path = write("tasks/datasets.yaml", text)
    with pytest.raises(ConfigError, match=message):
        load_registry(task_folders=[path.parent])


def test_user_entries_add_to_the_shipped_ones(write):
    backbones, tasks = (
        write("mine.yaml", BACKBONE + "  weights: {file: weights/a.pth}\n"),
        write("tasks/mine.yaml", TASK),
    )
    write("tasks/datasets.yaml", DATASET)
    registry = load_registry([backbones], [tasks.parent])
    assert registry.backbones["mine"].weights.file == str(backbones.parent / "weights/a.pth"), (
        "relative to the file that names it"
    )
    assert registry.datasets["mine"].source.path == str(tasks.parent / "photos")
    assert registry.tasks["mine"].protocol == "knn" and "raw_pixels" in registry.backbones


def test_a_shipped_file_is_parsed_again_only_when_its_text_changes(tmp_path, monkeypatch):
    for name in ("backbones.yaml", "tasks/datasets.yaml", "tasks/knn.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(shipped(name.partition("/")[0]).parent / name, tmp_path / name)
    monkeypatch.setattr("bob.registry.loading.shipped", lambda name: tmp_path / name)
    first, again = load_registry(), load_registry()
    assert again == first and again.datasets["elpv"] is first.datasets["elpv"]
    for path in (tmp_path / "backbones.yaml", tmp_path / "tasks" / "datasets.yaml"):
        text = BACKBONE if path.stem == "backbones" else DATASET
        path.write_text(path.read_text() + text)
    changed = load_registry()
    assert (
        {*changed.backbones} - {*first.backbones}
        == {"mine"}
        == {*changed.datasets} - {*first.datasets}
    )
    path = tmp_path / "tasks" / "knn.yaml"
    path.write_text(path.read_text().replace("protocol: knn", "protocol: k_nn"))
    with pytest.raises(ConfigError, match=r"knn\.yaml: protocol must be one of"):
        load_registry()


def test_a_registry_can_be_changed_without_changing_the_next():
    registry = load_registry()
    for entries in (registry.backbones, registry.tasks, registry.datasets):
        entries.clear()
    assert "raw_pixels" in load_registry().backbones and "knn" in load_registry().tasks
    assert "elpv" in load_registry().datasets


def test_unreadable_files_are_errors(tmp_path):
    with pytest.raises(
        ConfigError, match=r"none.yaml: cannot be read \(No such file or directory\)"
    ):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_yaml(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match="is not a folder of task files"):
        load_registry(task_folders=[tmp_path / "none"])


def selected_names(names: str) -> list[tuple[str, bool]]:
    return [
        (selected.spec.name, selected.exact)
        for selected in select(names, load_registry().backbones, "backbone", backbone_labels)
    ]


def test_selection_keeps_registry_order_without_duplicates():
    assert selected_names("raw_pixels, channel_statistics,raw_pixels") == [
        ("channel_statistics", True),
        ("raw_pixels", True),
    ]
    assert selected_names("raw*,raw_pixels") == [("raw_pixels", True)], (
        "the name itself was typed as well"
    )
    assert selected_names("raw*") == [("raw_pixels", False)]
    assert {name for name, _ in selected_names("group:samples")} == {
        *(f"efficientnet_lite{i}_in1k" for i in range(3)),
        "resnet50thin_opennsfw",
    }
    assert [name for name, _ in selected_names("all")] == list(load_registry().backbones)
    assert {name for name, exact in selected_names("family:baseline") if not exact} == {
        n for n, s in load_registry().backbones.items() if s.family == "baseline"
    }


def test_tasks_can_be_selected_by_protocol():
    selected = [
        entry.spec
        for entry in select("protocol:linear", load_registry().tasks, "task", task_labels)
    ]
    assert "linear" in [spec.name for spec in selected]
    assert {spec.protocol for spec in selected} == {"linear"}


def test_only_similar_names_are_suggested():
    assert nearest("resnet5", ["resnet50", "vit"]) == "; did you mean 'resnet50'?"
    assert nearest("zzz", ["resnet50", "vit"]) == "."


def test_a_name_with_the_same_words_in_another_order_is_suggested():
    """The shortest name that contains all the words wins."""
    assert (
        nearest("dinov2_vits14", ["vits14_dinov2_more", "vits14_dinov2", "vits14", "vits16_dinov2"])
        == "; did you mean 'vits14_dinov2'?"
    )


def test_a_timm_architecture_with_a_tag_implies_its_hub_weights(write):
    registry = load_registry([write("mine.yaml", BACKBONE.replace("resnet18", "resnet18.a2_in1k"))])
    assert registry.backbones["mine"].weights.hub == "timm/resnet18.a2_in1k"
    with_file = BACKBONE.replace("resnet18", "resnet18.a2_in1k") + "  weights: {file: a.pth}\n"
    assert load_registry([write("mine.yaml", with_file)]).backbones["mine"].weights.hub is None


def test_the_backbones_of_select_differ_in_their_data_alone() -> None:
    """Six ResNet-50s of one recipe (Feuer et al. 2024, arXiv:2410.05057), by repository."""
    specs = [spec for spec in load_registry().backbones.values() if "select" in spec.groups]
    repositories = [spec.weights.hub for spec in specs if spec.weights and spec.weights.hub]
    curations = ("imagenet-1k", "open-images", "sd-i2i", "sd-t2i", "laion-i2i", "laion-t2i")
    assert repositories == [f"nyu-dice-lab/imagenetpp-baseline-{name}" for name in curations]
    shared = {
        (spec.architecture, spec.loader, spec.width, spec.input_px, spec.preprocessing, spec.params)
        for spec in specs
    }
    assert len(shared) == 1 and specs[0].architecture == "resnet50"
    pretraining = [spec.pretraining for spec in specs]
    assert len({each.data for each in pretraining if each}) == 6
