"""`list` calls a backbone present exactly if its loader finds the weights without a network."""

from pathlib import Path

import pytest

from bob.backbones.availability import backbone_unavailable_reason
from bob.backbones.weights.hub_files import hub_file_names
from bob.backbones.weights.locate import find_weights
from bob.errors import UnavailableError
from bob.specs import BackboneSpec
from bob.specs.yaml import build

ENTRIES = {
    "timm": {"family": "ssl", "architecture": "resnet10t"},
    "open_clip": {"family": "clip", "architecture": "ViT-B-32"},
    "checkpoint": {"family": "ssl", "architecture": "resnet10t"},
    "transformers": {"family": "ssl", "architecture": "dinov2"},
    "onnx": {
        "family": "domain",
        "architecture": "mine",
        "graph": {"output": "features"},
        "preprocessing": {
            "input_px": 8,
            "crop_pct": 1.0,
            "crop_mode": "center",
            "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
    },
}
"""The loaders that read weights from hub repositories, with the rest of a valid entry."""
COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40
FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.onnx",
    "onnx/model.onnx",
    "mine.pth",
)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the hub's client caches `owner/mine`, whose `main` is COMMIT."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--owner--mine"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    return folder


def entry(loader: str, **weights: str) -> BackboneSpec:
    values = {"name": "mine", "loader": loader, "weights": {"hub": "owner/mine", **weights}}
    return build(BackboneSpec, {**values, **ENTRIES[loader]}, "test")


def add(repository: Path, commit: str, file: str) -> Path:
    path = repository / "snapshots" / commit / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


def located(spec: BackboneSpec) -> Path | None:
    """The file that the loader would read; None if it would refuse."""
    try:
        return find_weights(spec, offline=True)
    except UnavailableError:
        return None


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("loader", ENTRIES)
def test_a_snapshot_with_one_file_is_present_exactly_if_the_loader_finds_it(
    repository: Path, loader: str, file: str
) -> None:
    path, spec = add(repository, COMMIT, file), entry(loader)
    expected = path if file in hub_file_names(spec) else None
    assert located(spec) == expected
    assert (backbone_unavailable_reason(spec) is None) == (expected is not None)


@pytest.mark.parametrize("loader", ENTRIES)
def test_a_named_file_is_the_only_one_that_counts(repository: Path, loader: str) -> None:
    spec = entry(loader, file="mine.pth")
    for file in FILES[:-1]:
        add(repository, COMMIT, file)
    assert located(spec) is None and backbone_unavailable_reason(spec)
    path = add(repository, COMMIT, "mine.pth")
    assert located(spec) == path and backbone_unavailable_reason(spec) is None


@pytest.mark.parametrize("loader", ENTRIES)
@pytest.mark.parametrize(
    ("revision", "present"),
    [
        (None, {COMMIT}),
        ("main", {COMMIT}),
        (COMMIT, {COMMIT}),
        (OTHER_COMMIT, {OTHER_COMMIT}),
        ("v1", {OTHER_COMMIT}),
        ("no-such-branch", set()),
    ],
)
@pytest.mark.parametrize("cached", [COMMIT, OTHER_COMMIT])
def test_only_the_snapshot_of_the_revision_counts(
    repository: Path, loader: str, revision: str | None, present: set[str], cached: str
) -> None:
    """`main` and `v1` are references, to COMMIT and OTHER_COMMIT."""
    (repository / "refs" / "v1").write_text(OTHER_COMMIT)
    spec = entry(loader, **({"revision": revision} if revision else {}))
    path = add(repository, cached, hub_file_names(spec)[0])
    expected = path if cached in present else None
    assert located(spec) == expected
    assert (backbone_unavailable_reason(spec) is None) == (expected is not None)


def test_a_repository_that_was_never_downloaded_is_absent(repository: Path) -> None:
    for loader in ENTRIES:
        spec = entry(loader).model_copy(
            update={"weights": entry(loader).weights.model_copy(update={"hub": "owner/other"})}
        )
        assert located(spec) is None and backbone_unavailable_reason(spec)
