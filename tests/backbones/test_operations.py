"""What operations take, by hand and compared with PyTorch's allocator and its own counter."""

from itertools import accumulate

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bob.backbones.operations import FlopCounter, LiveTensors


def chain(x):
    """Each step frees its input: two tensors are alive at once, 2 * 4 * 100 bytes."""
    for _ in range(5):
        x = x * 2
    return x


def doubled(x):
    """400 bytes, a view of them, 800 beside them changed in place, 4 sums of 4 bytes: 1,216."""
    y = (x * 2).flatten(1)
    return torch.cat([y, y], 1).relu_().sum(1)


def three_results(x):
    """Three tensors of 400 bytes stay alive, one of them changed in place."""
    return [x + 1, (x + 2).mul_(3), x + 4]


@pytest.mark.parametrize(
    ("forward", "expected"), [(chain, 800), (doubled, 1216), (three_results, 1200)]
)
def test_live_tensors_by_hand(forward, expected):
    x = torch.ones(4, 5, 5)
    with torch.inference_mode(), LiveTensors() as live:
        forward(x)
    assert live.peak_bytes == expected


def test_the_steps_inside_a_composite_operation_are_counted():
    """In inference mode attention is one operation.

    Inside, 50 x 50 scores exist before and after the softmax, for 6 heads; x itself is 2,400 bytes,
    and at most 6 tensors of its size exist beside them.
    """
    x = torch.ones(2, 3, 50, 2)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), LiveTensors() as live:
        nn.functional.scaled_dot_product_attention(x, x, x)
    assert 2 * 6 * 50 * 50 * 4 <= live.peak_bytes <= 2 * 6 * 50 * 50 * 4 + 6 * 2400


@pytest.mark.parametrize(
    "forward",
    [chain, doubled, three_results, lambda x: nn.functional.gelu(x).softmax(-1).std(2)],
)
def test_live_tensors_are_those_of_the_allocator(forward):
    """A second opinion: the sum of allocations and releases that PyTorch's profiler records."""
    x = torch.ones(2, 3, 50, 50)
    with torch.inference_mode(), LiveTensors() as live:
        forward(x)
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with (
        torch.inference_mode(),
        torch.profiler.profile(activities=cpu, profile_memory=True) as profiler,
    ):
        forward(x)
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    assert live.peak_bytes == pytest.approx(max(accumulate(size for _, size in changes)), abs=64)


def test_flops_by_hand():
    """3 * 4 values of 5 products each, 2 per multiply-add."""
    with torch.inference_mode(), FlopCounter() as counter:
        torch.ones(3, 5) @ torch.ones(5, 4)
    assert counter.flops == 2 * 3 * 4 * 5


@pytest.mark.parametrize(
    "forward",
    [
        chain,
        nn.Conv2d(3, 6, 3, stride=2, groups=3),
        nn.Sequential(nn.Flatten(2), nn.Linear(400, 8), nn.TransformerEncoderLayer(8, 2)).eval(),
        lambda x: nn.functional.scaled_dot_product_attention(x, x, x),
    ],
)
def test_flops_are_those_of_pytorchs_own_counter(forward):
    x = torch.ones(2, 3, 20, 20)
    with torch.inference_mode(), FlopCounterMode(display=False) as expected:
        forward(x)
    with torch.inference_mode(), FlopCounter() as counter:
        forward(x)
    assert counter.flops == expected.get_total_flops()
