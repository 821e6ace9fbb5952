"""Cards: measured once, and again when anything that they depend on changes."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from bob.backbones.card import load_backbone
from bob.errors import OutputError
from bob.registry import load_registry
from tests.builders.backbone_entries import SMALL, entry, make_card

RAW_PIXELS = load_registry().backbones["raw_pixels"]


def cards_in(cache: Path) -> list[Path]:
    return list((cache / "backbones").glob("*.json"))


def test_a_card_is_cached_until_the_file_changes(tmp_path, monkeypatch):
    torch.manual_seed(1)
    state, path = timm.create_model(SMALL).state_dict(), tmp_path / "weights.safetensors"
    save_file(state, path)
    spec = entry(weights={"file": str(path)})
    first = make_card(spec, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(
            "bob.backbones.card.load_backbone", lambda *_, **__: pytest.fail("loaded again")
        )
        assert make_card(spec, tmp_path) == first
    for name, value in state.items():
        state[name] = value + 1 if value.is_floating_point() else value
    save_file(state, path)
    assert make_card(spec, tmp_path).weights_hash != first.weights_hash


def test_an_output_that_a_backbone_lacks_is_not_looked_for_again(tmp_path, monkeypatch):
    """The message has the name of the entry that asks, until the file changes."""
    torch.manual_seed(1)
    state, path = timm.create_model(SMALL).state_dict(), tmp_path / "weights.safetensors"
    save_file(state, path)
    fields = {"weights": {"file": str(path)}, "output": "mean_patch@-99"}
    spec, other = entry(**fields), entry(name="another", **fields)
    with pytest.raises(OutputError) as first:
        make_card(spec, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(
            "bob.backbones.card.load_backbone", lambda *_, **__: pytest.fail("loaded again")
        )
        with pytest.raises(OutputError) as again:
            make_card(other, tmp_path)
    assert str(again.value) == str(first.value).replace(repr(spec.name), "'another'")
    save_file(state, path)
    loads = []
    monkeypatch.setattr(
        "bob.backbones.card.load_backbone",
        lambda spec, *rest, **options: (
            loads.append(spec.name) or load_backbone(spec, *rest, **options)
        ),
    )
    with pytest.raises(OutputError):
        make_card(spec, tmp_path)
    assert loads == [spec.name]


def test_a_damaged_card_is_made_again(tmp_path):
    first = make_card(RAW_PIXELS, tmp_path)
    (path,) = cards_in(tmp_path)
    path.write_text(json.dumps({"weights_hash": 1}))
    assert make_card(RAW_PIXELS, tmp_path).weights_hash == first.weights_hash


def test_a_card_of_an_older_version_is_made_again(tmp_path, monkeypatch):
    """Cards of version 2 have no `peak_mib`."""
    with monkeypatch.context() as patch:
        patch.setattr("bob.backbones.card.CARD_VERSION", 2)
        make_card(RAW_PIXELS, tmp_path)
    (path,) = cards_in(tmp_path)
    values = json.loads(path.read_bytes())
    del values["peak_mib"]
    path.write_text(json.dumps(values))
    assert make_card(RAW_PIXELS, tmp_path).peak_mib > 0
    assert len(cards_in(tmp_path)) == 2


def test_another_output_has_another_card_and_another_description_does_not(tmp_path):
    spec = entry(weights={"random": 0})
    first = make_card(spec, tmp_path)
    make_card(spec.model_copy(update={"name": "other", "licence": "MIT"}), tmp_path)
    assert len(cards_in(tmp_path)) == 1
    grid = make_card(entry(weights={"random": 0}, output="grid"), tmp_path)
    assert len(cards_in(tmp_path)) == 2
    assert grid.weights_hash == first.weights_hash
    assert (len(grid.shape), grid.shape[-1], first.shape) == (3, 512, (512,))


def test_a_card_counts_parameters_and_operations(tmp_path):
    """ResNet-18: 1.8 G multiply-adds (He et al. 2016, table 1), and 11,689,512 parameters.

    The head has 512 * 1000 + 1000 of them.
    """
    card = make_card(
        entry(architecture="resnet18", weights={"random": 0}, preprocessing={"input_px": 224}),
        tmp_path,
    )
    assert card.params == 11_689_512 - 513_000
    assert card.gflops == pytest.approx(2 * 1.8, rel=0.02)


def test_a_card_states_the_memory_of_a_forward_pass(tmp_path):
    """Raw pixels have no weights. 4 images of 3 x 224 x 224 float32 exist at most twice.

    They are normalised in place and then copied to channels-last; the rows of 768 values are
    computed after the first copy is released.
    """
    card = make_card(RAW_PIXELS, tmp_path)
    assert card.weights_mib == 0
    assert card.peak_mib == 2 * 4 * 3 * 224 * 224 * 4 / 2**20
