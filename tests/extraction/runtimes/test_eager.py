"""Eager PyTorch on the processor: who computes which images."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.extraction.runtimes.eager import Eager
from bob.numerics.threads import torch_threads
from bob.registry import load_registry
from bob.specs import DEFAULT, Output


@pytest.mark.parametrize("name", ["channel_statistics", "raw_pixels", "random_convolution"])
def test_each_thread_takes_its_own_images_of_a_baseline(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven images: three for the first thread, four for the second; rows as of one thread."""
    backbone = load_backbone(load_registry().backbones[name], "cpu", "float32", offline=True)
    height, width = backbone.geometry.height_px, backbone.geometry.width_px
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(256, (7, 3, height, width), dtype=torch.uint8, generator=generator)
    with torch_threads(1):
        expected = Eager(backbone, 1).embed(crops, [DEFAULT])[DEFAULT]
    images: dict[int, int] = {}
    threads: set[int] = set()
    both, forward = threading.Barrier(2), backbone.forward

    def counting(batch: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        ident = threading.get_ident()
        if ident not in images:
            both.wait(timeout=60)  # neither thread can take all images
        images[ident] = images.get(ident, 0) + len(batch)
        threads.add(torch.get_num_threads())
        return forward(batch, outputs)

    monkeypatch.setattr(Backbone, "forward", lambda self, *of: counting(*of))
    with torch_threads(2):
        embedded = Eager(backbone, 1).embed(crops, [DEFAULT])[DEFAULT]
    assert sorted(images.values()) == [3, 4] and threads == {1}
    np.testing.assert_array_equal(embedded, expected)
