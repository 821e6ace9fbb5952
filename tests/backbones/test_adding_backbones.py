"""docs/how_to/own_backbone.md: every entry works as printed, on small files of each kind."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import open_clip
import pytest
import timm
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel

from bob.errors import OK
from bob.io.paths import CHECKOUT
from bob.registry import load_backbones
from bob.specs import Weights
from tests.builders.backbone_entries import embed, load, random_crops

SECTION = (CHECKOUT / "docs" / "how_to" / "own_backbone.md").read_text()
BLOCKS = {
    block.partition(":")[0]: block
    for block in re.findall(r"```yaml\n(.*?)```", SECTION, flags=re.DOTALL)
}


def timm_file(folder: Path) -> None:
    save_file(timm.create_model("vit_small_patch16_224").state_dict(), folder / "mine.safetensors")


def open_clip_file(folder: Path) -> None:
    config = open_clip.get_model_config("MobileCLIP2-S0")
    config.pop("custom_text")
    torch.save(
        {"state_dict": open_clip.CustomTextCLIP(**config).state_dict()}, folder / "mobileclip.pt"
    )


def checkpoint_file(folder: Path) -> None:
    model = torchvision.models.resnet18()
    model.fc = torch.nn.Identity()
    state = {f"module.backbone.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save(
        {"teacher": state | {"module.head.weight": torch.zeros(2)}, "epoch": 99},
        folder / "epoch_99.pth",
    )


def transformers_folder(folder: Path) -> None:
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    AutoModel.from_config(AutoConfig.for_model("dinov2", **sizes)).save_pretrained(
        folder / "dinov2"
    )
    (folder / "dinov2" / "preprocessor_config.json").write_text(
        '{"size": {"height": 28, "width": 28}, "resample": 3, '
        '"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
    )


def onnx_file(folder: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["pixels", "axes"], ["pooled"], keepdims=0)]
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ("batch", 3, 224, 224))]
    outputs = [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ("batch", 3))]
    graph = helper.make_graph(
        nodes,
        "mean",
        inputs,
        outputs,
        [numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "axes")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        folder / "mine.onnx",
    )


def python_file(folder: Path) -> None:
    (folder.parent / "examples").mkdir()
    (folder.parent / "examples" / "my_backbone.py").write_text(
        (CHECKOUT / "docs" / "examples" / "my_backbone.py").read_text()
    )


def no_file(folder: Path) -> None:
    """The weights are in the hub, and this machine does not have them."""


MAKERS = {
    "vits16_mine": (timm_file, 384),
    "mobileclip_mine": (open_clip_file, 1024),
    "resnet18_mine": (checkpoint_file, 512),
    "dinov2_mine": (transformers_folder, 16),
    "graph_mine": (onnx_file, 3),
    "colours_mine": (python_file, 48),
    "dinov2_last4_mine": (no_file, 4 * 384),
}
"""Entry → a function that writes its files, and the width of its features."""


def test_every_entry_is_short_and_tested():
    assert set(BLOCKS) == set(MAKERS)
    assert all(len(block.splitlines()) <= 10 for block in BLOCKS.values())


@pytest.mark.parametrize("name", MAKERS)
def test_doctor_passes_a_backbone_as_the_docs_print_it(tmp_path, bob, name):
    write_files, width = MAKERS[name]
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(0)
    write_files(tmp_path / "checkpoints")
    (tmp_path / "my_backbones.yaml").write_text(BLOCKS[name])
    flags = ["--allow-code"] if name == "colours_mine" else []
    code, out, _ = bob("doctor", name, "--registry", tmp_path / "my_backbones.yaml", *flags)
    assert code == OK, out
    assert f"of width {width:,}" in out
    if write_files is not no_file:
        assert f"features of width {width:,}" in out


EXAMPLES = CHECKOUT / "docs" / "examples" / "my_backbones.yaml"


def test_the_example_of_four_layers_is_the_one_that_the_docs_print(tmp_path):
    (tmp_path / "my_backbones.yaml").write_text(BLOCKS["dinov2_last4_mine"])
    printed = load_backbones([tmp_path / "my_backbones.yaml"])["dinov2_last4_mine"]
    assert load_backbones([EXAMPLES])["dinov2_last4_mine"] == printed


def test_the_example_of_four_layers_reads_what_the_linear_probes_of_dinov2_read():
    """With random weights, and the layers by timm's own `get_intermediate_layers`.

    Layer scales of 1e-5, the initial values, would make all layers equal.
    """
    spec = load_backbones([EXAMPLES])["dinov2_last4_mine"]
    backbone = load(spec.model_copy(update={"weights": Weights(random=0)}))
    model = backbone.module.model
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(1.0)
    assert backbone.check() == (4 * 384,)
    crops = random_crops(1, 224)
    with torch.inference_mode():
        layers = model.get_intermediate_layers(
            backbone.normalisation.apply(crops), n=4, return_prefix_tokens=True, norm=True
        )
    cls = [prefix[:, 0].numpy() for _, prefix in layers]
    features = embed(backbone, crops, str(spec.output))
    np.testing.assert_allclose(features, np.concatenate(cls, 1), rtol=1e-4, atol=1e-5)
    assert min(np.abs(a - b).max() for a, b in pairwise(cls)) > 0.1


def test_the_example_with_random_weights_loads():
    assert load(load_backbones([EXAMPLES])["resnet10t_mine"]).check() == (512,)
