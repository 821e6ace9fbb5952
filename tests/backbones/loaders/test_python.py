"""Backbones from a user's code: run only when allowed, identified by their source."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bob.backbones.availability import require_code_permission
from bob.backbones.card import load_planned
from bob.backbones.loaders.load import outline
from bob.errors import OK, USAGE, BackboneError, ConfigError, PlanMismatchError
from bob.registry import load_backbones
from tests.builders.backbone_entries import (
    embed,
    entry,
    load,
    make_card,
    preprocessing,
    random_crops,
)

SOURCE = """
from torch import nn
def make():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), {PREPROCESSING}
"""


def write(
    folder: Path, text: str = SOURCE, values: dict | None = None, name: str = "mine.py"
) -> Path:
    path = folder / name
    path.write_text(text.replace("{PREPROCESSING}", repr(values or preprocessing(8))))
    return path


def test_a_functions_module_and_preprocessing_are_used(tmp_path):
    """The mean is the entry's, the standard deviation the function's."""
    spec = entry("python", f"{write(tmp_path)}:make", preprocessing={"mean": [0.25, 0.25, 0.25]})
    backbone, crops = load(spec), random_crops(2, 8)
    by_hand = (crops.numpy().mean((2, 3)) / 255 - 0.25) / 0.5
    np.testing.assert_allclose(embed(backbone, crops), by_hand, rtol=1e-5)
    assert backbone.check() == (3,)


@pytest.mark.parametrize(
    "statement",
    [
        "torch.set_float32_matmul_precision('medium')",
        "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True",
        "torch.backends.fp32_precision = 'tf32'",
        "torch.backends.cudnn.fp32_precision = 'tf32'",
        "torch.backends.cudnn.conv.fp32_precision = 'tf32'",
        "torch.backends.mkldnn.fp32_precision = 'bf16'",
        "torch.backends.mkldnn.conv.fp32_precision = 'bf16'",
    ],
)
def test_float32_means_float32_whatever_a_users_code_switches_on(tmp_path, statement):
    """On graphics cards and, where a processor has bfloat16 products, on the CPU."""
    backends = torch.backends
    if ".fp32_precision" in statement and not hasattr(backends, "fp32_precision"):
        pytest.skip("this PyTorch has no such setting")
    path = write(tmp_path, f"import torch\n{statement}{SOURCE}")
    load(entry("python", f"{path}:make"))
    assert torch.get_float32_matmul_precision() == "highest"
    assert not backends.cuda.matmul.allow_tf32 and not backends.cudnn.allow_tf32
    if hasattr(backends, "fp32_precision"):
        cudnn, mkldnn = backends.cudnn, backends.mkldnn
        places = [cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn]
        assert {place.fp32_precision for place in places} <= {"none", "ieee"}


def test_an_importable_module_is_found(tmp_path, monkeypatch):
    write(tmp_path, name="mine_on_path.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load(entry("python", "mine_on_path:make")).check() == (3,)
    sys.modules.pop("mine_on_path")


def test_other_source_is_another_backbone(tmp_path):
    def card_of(text: str):
        return make_card(entry("python", f"{write(tmp_path, text)}:make"), tmp_path)

    first, again, other = (card_of(text) for text in (SOURCE, SOURCE, SOURCE.replace("Avg", "Max")))
    assert first.forward == again.forward != other.forward


READER = """
import pathlib, numpy as np, torch
from torch import nn
weight = lambda: torch.load(pathlib.Path(__file__).parent / "w.pt")
class M(nn.Module):
    def __init__(self):
        super().__init__()
        HOLD
    def forward(self, x):
        return x.mean((2, 3)) @ (READ)
def make():
    return M(), {PREPROCESSING}
"""


@pytest.mark.parametrize(
    ("hold", "read"),
    [
        ("self.w = nn.Parameter(weight())", "self.w"),
        ("self.register_buffer('w', weight(), persistent=False)", "self.w"),
        ("self.w = weight()", "self.w"),
        ("self.w = {'first': [weight().numpy()]}", "torch.from_numpy(self.w['first'][0])"),
        ("self.w = [nn.ParameterList([weight()])]", "self.w[0][0]"),
    ],
    ids=["parameter", "buffer", "attribute", "array", "module in a list"],
)
def test_other_weights_that_a_function_reads_are_another_backbone(tmp_path, hold, read):
    """The source is the same, so that the card of the run before is there."""
    spec = entry(
        "python", f"{write(tmp_path, READER.replace('HOLD', hold).replace('READ', read))}:make"
    )

    def identity(weight: torch.Tensor) -> tuple:
        torch.save(weight, tmp_path / "w.pt")
        card = make_card(spec, tmp_path)
        return card.weights_hash, card.forward

    first, again = identity(torch.eye(3)), identity(torch.eye(3))
    assert first == again
    assert identity(2 * torch.eye(3)) != first


def test_weights_that_a_function_draws_at_random_are_refused_with_advice(tmp_path):
    text = "from torch import nn\n" + (
        "def make(): return nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), {PREPROCESSING}"
    )
    spec = entry("python", f"{write(tmp_path, text)}:make")
    planned = make_card(spec, tmp_path)
    with pytest.raises(PlanMismatchError, match="draws at random need a seed"):
        load_planned(spec, planned, tmp_path, "cpu", "float32", offline=True)


@pytest.mark.parametrize(
    ("architecture", "error", "message"),
    [
        (
            "mine.py",
            ConfigError,
            "architecture must be 'module:function' or 'file.py:function'; got 'mine.py'",
        ),
        ("none.py:make", ConfigError, "there is no 'none.py' to take 'make' from"),
        ("no_such_module:make", ConfigError, "there is no 'no_such_module' to take 'make' from"),
        ("no_such.module:make", ConfigError, "there is no 'no_such.module' to take 'make' from"),
        ("MINE:other", ConfigError, "has no function 'other'"),
    ],
)
def test_a_missing_function_is_reported(tmp_path, architecture, error, message):
    with pytest.raises(error, match=message):
        load(entry("python", architecture.replace("MINE", str(write(tmp_path)))))


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("def make(): return 3", None, r"must return \(module, preprocessing\); got int"),
        (
            SOURCE,
            {"input_px": 8},
            "does not return all of its preprocessing; "
            "missing: crop_pct, crop_mode, interpolation, mean, std",
        ),
        (
            SOURCE.replace("nn.Flatten()", "nn.Identity()"),
            None,
            r"output 'default' must have shape \(3, D\); got \(3, 3, 1, 1\)",
        ),
        (
            "from torch import nn\n"
            "class M(nn.Module):\n  def forward(self, x): return [x]\n"
            "def make(): return M(), {PREPROCESSING}",
            None,
            r"its module must return a tensor \(B, D\); got list",
        ),
        (
            SOURCE.replace("nn.Flatten()", "nn.Flatten(), C()").replace(
                "def make",
                "class C(nn.Module):\n  def forward(self, x): return x * 1j\ndef make",
            ),
            None,
            r"its module must return real numbers; got torch.complex64",
        ),
        ("def make(): 1 / 0", None, "does not load: ZeroDivisionError: division by zero"),
    ],
)
def test_wrong_results_of_a_function_are_refused(tmp_path, text, values, message):
    with pytest.raises(BackboneError, match=message):
        load(entry("python", f"{write(tmp_path, text, values)}:make")).check()


def test_an_unknown_key_of_a_functions_preprocessing_is_refused(tmp_path):
    path = write(tmp_path, values={"size": 8})
    with pytest.raises(ConfigError, match=r"preprocessing from .*mine.py:make: unknown key 'size'"):
        load(entry("python", f"{path}:make"))


@pytest.mark.parametrize("output", ["cls", "grid", "mean_patch@-1"])
def test_a_users_module_has_only_the_default_output(tmp_path, output):
    with pytest.raises(
        BackboneError,
        match=f"a module of loader python has no output '{output}'; available: default",
    ):
        load(entry("python", f"{write(tmp_path)}:make", output=output)).check()


def test_an_outline_is_refused_without_running_the_code(tmp_path):
    path = write(tmp_path, "raise SystemExit")
    with pytest.raises(BackboneError, match=r"what .*mine.py builds is unknown until it runs"):
        outline(entry("python", f"{path}:make"), offline=True)


def test_code_runs_only_when_allowed(tmp_path, bob):
    """The file writes another file when it runs; the registry names it relative to itself."""
    write(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + SOURCE)
    registry = tmp_path / "registry.yaml"
    registry.write_text("mine: {family: ssl, loader: python, architecture: 'mine.py:make'}\n")
    code, _, err = bob("doctor", "mine", "--registry", registry)
    assert code == USAGE
    assert "'mine': runs code" in err and "Read it, then add --allow-code" in err
    assert not (tmp_path / "ran").exists()
    code, out, _ = bob("doctor", "mine", "--registry", registry, "--allow-code")
    assert code == OK and (tmp_path / "ran").exists() and "features of width 3" in out


def test_no_shipped_backbone_runs_code():
    require_code_permission(list(load_backbones().values()), allowed=False)
    with pytest.raises(ConfigError, match="'mine': runs code"):
        require_code_permission([entry("python", "a:b")], allowed=False)
