"""Backbones that are a user's own code: run only when allowed, told apart by their source, and told what they must return."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bob.backbones.availability import refuse_code
from bob.backbones.card import card, load_backbone
from bob.backbones.loaders.load import outline
from bob.errors import OK, USAGE, BackboneError, ConfigError
from bob.registry.registry import load_backbones
from bob.specs import BackboneSpec
from bob.specs.yaml import build

SOURCE = """
from torch import nn
def make():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), {PREPROCESSING}
"""
PREPROCESSING = {
    "input_px": 8,
    "crop_pct": 1.0,
    "crop_mode": "center",
    "interpolation": "bilinear",
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
}


def write(folder: Path, text: str = SOURCE, told: dict | None = None, name: str = "own.py") -> Path:
    path = folder / name
    path.write_text(text.replace("{PREPROCESSING}", repr(told or PREPROCESSING)))
    return path


def spec(architecture: str, **fields) -> BackboneSpec:
    return build(
        BackboneSpec,
        {
            "name": "mine",
            "family": "ssl",
            "loader": "python",
            "architecture": architecture,
            **fields,
        },
        "test",
    )


def load(entry: BackboneSpec):
    return load_backbone(entry, "cpu", "float32", offline=True)


def test_a_function_s_module_and_preprocessing_are_used(tmp_path):
    backbone = load(spec(f"{write(tmp_path)}:make", preprocessing={"mean": [0.25, 0.25, 0.25]}))
    crops = torch.randint(
        256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    by_hand = (
        crops.numpy().mean((2, 3)) / 255 - 0.25
    ) / 0.5  # the entry's mean, the function's standard deviation
    np.testing.assert_allclose(backbone.embed(crops, ["default"])["default"], by_hand, rtol=1e-5)
    assert backbone.check() == {"default": 3}


def test_a_module_on_the_path_is_found(tmp_path, monkeypatch):
    write(tmp_path, name="own_on_path.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load(spec("own_on_path:make")).check() == {"default": 3}
    sys.modules.pop("own_on_path")


def test_other_source_is_another_backbone(tmp_path):
    first = card(spec(f"{write(tmp_path)}:make"), tmp_path, "cpu", "float32", offline=True)
    again = card(spec(f"{write(tmp_path)}:make"), tmp_path, "cpu", "float32", offline=True)
    other = card(
        spec(f"{write(tmp_path, SOURCE.replace('Avg', 'Max'))}:make"),
        tmp_path,
        "cpu",
        "float32",
        offline=True,
    )
    assert first.forward == again.forward != other.forward


@pytest.mark.parametrize(
    ("architecture", "error", "message"),
    [
        (
            "own.py",
            ConfigError,
            "architecture must be 'module:function' or 'file.py:function'; got 'own.py'",
        ),
        ("none.py:make", ConfigError, "there is no 'none.py' to take 'make' from"),
        ("no_such_module:make", ConfigError, "there is no 'no_such_module' to take 'make' from"),
        ("OWN:other", ConfigError, "has no function 'other'"),
    ],
)
def test_a_function_that_is_not_there_is_told(tmp_path, architecture, error, message):
    with pytest.raises(error, match=message):
        load(spec(architecture.replace("OWN", str(write(tmp_path)))))


@pytest.mark.parametrize(
    ("text", "told", "message"),
    [
        ("def make(): return 3", None, r"must return \(module, preprocessing\); got int"),
        (
            SOURCE,
            {"input_px": 8},
            "does not tell its preprocessing: crop_pct, crop_mode, interpolation, mean, std",
        ),
        (
            SOURCE.replace("nn.Flatten()", "nn.Identity()"),
            None,
            r"must give 3 rows; got an array of shape \(3, 3, 1, 1\)",
        ),
        (
            "from torch import nn\nclass M(nn.Module):\n  def forward(self, x): return [x]\ndef make(): return M(), {PREPROCESSING}",
            None,
            "got list",
        ),
    ],
)
def test_what_a_function_must_return_is_told(tmp_path, text, told, message):
    with pytest.raises(BackboneError, match=message):
        load(spec(f"{write(tmp_path, text, told)}:make")).check()


def test_a_function_s_unknown_key_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"preprocessing from .*own.py:make: unknown key 'size'"):
        load(spec(f"{write(tmp_path, told={'size': 8})}:make"))


def test_other_poolings_and_outlines_are_refused(tmp_path):
    entry = spec(f"{write(tmp_path)}:make", pooling="cls")
    with pytest.raises(
        BackboneError, match="a module of one's own has pooling 'default' only; got 'cls'"
    ):
        load(entry).check()
    with pytest.raises(BackboneError, match=r"what .*own.py builds is known when it runs"):
        outline(entry, offline=True)


def test_code_runs_only_when_allowed(tmp_path, bob):
    """The file leaves a mark where it runs; the registry names it relative to itself."""
    write(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + SOURCE)
    registry = tmp_path / "mine.yaml"
    registry.write_text("own: {family: ssl, loader: python, architecture: 'own.py:make'}\n")
    code, _, err = bob("doctor", "own", "--registry", registry)
    assert code == USAGE and "'own': runs code" in err and "Read it, then add --allow-code" in err
    assert not (tmp_path / "ran").exists()
    code, out, _ = bob("doctor", "own", "--registry", registry, "--allow-code")
    assert code == OK and (tmp_path / "ran").exists() and "rows of width 3" in out


def test_nothing_shipped_runs_code():
    refuse_code(list(load_backbones().values()), allowed=False)
    with pytest.raises(ConfigError, match="'mine': runs code"):
        refuse_code([spec("a:b")], allowed=False)
