"""timm is imported without PyTorch's compiler, which works all the same once it is used."""

import subprocess
import sys

import pytest

LOADED = """
import sys
from bob.backbones.timm_library import import_timm
timm = import_timm()
import torchvision.ops
assert not {"torch._dynamo", "sympy", "triton"} & {*sys.modules}, "after the import"
"""
CARD = """
from bob.backbones.card import _make_card
from bob.backbones.backbone import Backbone
from bob.backbones.loaders.load import load
from bob.specs import BackboneSpec
spec = BackboneSpec(
    name="vit", loader="timm", architecture="test_vit", family="supervised", weights={"random": 0}
)
assert _make_card(Backbone(spec, load(spec, offline=True), "cpu")).gflops > 0
assert "torch._dynamo" not in sys.modules, "after a card"
"""
REFERRED = """
import torch
from torchvision.ops import roi_align
boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
assert roi_align(torch.ones(1, 1, 4, 4), boxes, 1).item() == 1.0
from torch._dynamo.utils import counters, is_compile_supported
assert torch.compiler.disable.__module__ == "torch.compiler"
referred = sys.modules["torchvision.ops.roi_align"].is_compile_supported
assert referred("cpu") == is_compile_supported("cpu")
assert referred("meta") == is_compile_supported("meta")
"""
MARKED = """
import torch
from timm.layers import disable_compiler
traced = []
@disable_compiler
def marked(x):
    return x * 2
def backend(graph, inputs):
    traced.extend(node.name for node in graph.graph.nodes if node.op.startswith("call"))
    return graph.forward
compiled = torch.compile(lambda x: marked(x + 1) - 1, backend=backend)
assert compiled(torch.ones(1)).item() == 3.0
assert sorted(traced) == ["add", "sub"], traced
"""


@pytest.mark.parametrize("code", ["", CARD, REFERRED, MARKED])
def test_the_compiler_is_loaded_where_it_is_used_and_nowhere_else(code):
    """MARKED: a function that timm's decorator marks breaks a compiled graph in two."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
