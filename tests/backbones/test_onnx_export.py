"""Modules as ONNX graphs: fused attention is exported, and a failure prints no graph."""

import numpy as np
import pytest
import torch
from torch import nn

from bob.backbones.onnx_export import exported
from tests.builders.backbone_entries import random_crops


class Attention(nn.Module):
    """A layer of a transformer on the pixels of a crop, which PyTorch fuses in inference."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.TransformerEncoderLayer(3, 1, 8, batch_first=True)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.layer(crops.float().flatten(2).transpose(1, 2) / 255).mean(1)


class Unknown(nn.Module):
    """An operator without a counterpart in ONNX."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(crops.float(), 8, mode="bicubic", antialias=True)


def test_fused_attention_is_exported_for_any_number_of_images() -> None:
    import onnxruntime

    module, crops = Attention(), random_crops(5, 4)
    graph = exported(module, crops[:2], ["rows"], any_count=True)
    (rows,) = onnxruntime.InferenceSession(graph).run(None, {"crops": crops.numpy()})
    with torch.inference_mode():
        expected = module(crops).numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_failed_export_prints_no_graph(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(torch.onnx.errors.UnsupportedOperatorError):
        exported(Unknown(), random_crops(2, 4))
    assert capfd.readouterr() == ("", "")
    assert torch.backends.mha.get_fastpath_enabled()
