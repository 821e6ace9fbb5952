"""docs/adding.md: every way of adding a backbone, as it stands there, on small files of each kind. At most ten lines each."""

import re
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

SECTION = (
    (CHECKOUT / "docs" / "adding.md")
    .read_text()
    .partition("## A backbone")[2]
    .partition("## A dataset")[0]
)
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
        '{"size": {"height": 28, "width": 28}, "resample": 3, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
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


MAKERS = {
    "vits16_mine": (timm_file, 384),
    "mobileclip_mine": (open_clip_file, 1024),
    "resnet18_mine": (checkpoint_file, 512),
    "dinov2_mine": (transformers_folder, 16),
    "graph_mine": (onnx_file, 3),
    "colours_mine": (python_file, 48),
}


def test_every_way_is_short_and_tested():
    assert set(BLOCKS) == set(MAKERS) and all(
        len(block.splitlines()) <= 10 for block in BLOCKS.values()
    )


@pytest.mark.parametrize("name", MAKERS)
def test_a_backbone_is_added_as_the_docs_say(tmp_path, bob, name):
    make, width = MAKERS[name]
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(0)
    make(tmp_path / "checkpoints")
    (tmp_path / "my_backbones.yaml").write_text(BLOCKS[name])
    code, out, _ = bob(
        "doctor",
        name,
        "--registry",
        tmp_path / "my_backbones.yaml",
        *(["--allow-code"] if name == "colours_mine" else []),
    )
    assert code == OK, out
    assert f"rows of width {width:,}" in out
