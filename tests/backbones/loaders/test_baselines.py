"""Baselines by hand, and what they refuse."""

import pytest
import torch

from bob.backbones.loaders import baselines
from bob.errors import ConfigError, OutputError
from bob.specs import DEFAULT, GRID, Output
from tests.builders.backbone_entries import entry, load


def rows_of(module: baselines.Baseline, x: torch.Tensor) -> torch.Tensor:
    return module(x, [DEFAULT])[DEFAULT]


def test_channel_statistics_by_hand():
    x = torch.tensor([[0.0, 2.0, 4.0, 6.0], [1.0, 1.0, 1.0, 1.0], [-1.0, 1.0, -1.0, 1.0]])
    rows = rows_of(baselines.ChannelStatistics(), x.view(1, 3, 2, 2))[0].tolist()
    # means 3, 1, 0; deviations sqrt((9 + 1 + 1 + 9) / 4), 0, 1; minima 0, 1, -1; maxima 6, 1, 1
    assert rows == pytest.approx([3, 1, 0, 5**0.5, 0, 1, 0, 1, -1, 6, 1, 1])


def test_channel_deviations_are_those_of_numpy():
    """Of noise around means that are up to 1,000 times larger, in memory channels last."""
    noise = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    x = noise + torch.tensor([0.0, 1.0, 1_000.0]).view(3, 1, 1)
    rows = rows_of(baselines.ChannelStatistics(), x.contiguous(memory_format=torch.channels_last))
    expected = x.double().flatten(2).numpy().std(2)
    assert rows[:, 3:6].numpy() == pytest.approx(expected, rel=1e-5)


def test_raw_pixels_are_means_over_a_grid():
    x = torch.arange(3 * 32 * 32, dtype=torch.float32).view(1, 3, 32, 32)
    rows = rows_of(baselines.RawPixels(), x)
    assert rows.shape == (1, 768)
    assert rows[0, 0] == x[0, 0, :2, :2].sum() / 4


def test_random_convolution_by_hand():
    """One filter's two features, by sums over each 4 x 4 patch."""
    module = baselines.RandomConvolution(seed=0)
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    patches = [x[0, :, i : i + 4, j : j + 4] for i in (0, 4) for j in (0, 4)]
    response = torch.stack([(patch * module.weight[7]).sum() for patch in patches])
    rows = rows_of(module, x)[0]
    assert rows.shape == (512,)
    positive, negative = ((sign * response - 1).clamp(min=0).mean().item() for sign in (1, -1))
    assert rows[7].item() == pytest.approx(positive, abs=1e-5)
    assert rows[256 + 7].item() == pytest.approx(negative, abs=1e-5)


def test_random_convolution_follows_its_seed():
    a, again, other = (
        load(
            entry(loader="baseline", architecture="random_convolution", weights={"random": seed})
        ).module.weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(a, again) and not torch.equal(a, other)


def test_the_grid_of_raw_pixels_holds_the_means_of_its_row():
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    grid = baselines.RawPixels()(x, [GRID])[GRID]
    assert grid.shape == (2, 16, 16, 3)
    assert torch.equal(grid.permute(0, 3, 1, 2).flatten(1), rows_of(baselines.RawPixels(), x))


def test_the_grid_of_random_convolutions_averages_to_its_row():
    """At 128 px there are 32 x 32 responses, 2 x 2 in each cell."""
    module = baselines.RandomConvolution(seed=0)
    x = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    both = module(x, [DEFAULT, GRID])
    assert both[GRID].shape == (2, 16, 16, 512)
    torch.testing.assert_close(both[GRID].mean(dim=(1, 2)), both[DEFAULT])


@pytest.mark.parametrize("architecture", baselines.BASELINES)
def test_a_baseline_refuses_outputs_that_it_does_not_have(architecture):
    module = baselines.BASELINES[architecture](0)
    assert module.name == architecture
    for output in {Output(pool="cls"), GRID} - {*module.outputs}:
        with pytest.raises(OutputError, match=f"a baseline has no output '{output}'; available"):
            module(torch.zeros(1, 3, 32, 32), [DEFAULT, output])


def test_an_unknown_baseline_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown baseline 'raw_pixel'; did you mean 'raw_pixels"):
        load(entry(loader="baseline", architecture="raw_pixel"))


def test_the_crop_of_a_baseline_can_be_overridden():
    overrides = {"input_px": 32, "mean": [0.25, 0.5, 0.75]}
    backbone = load(entry(loader="baseline", architecture="raw_pixels", preprocessing=overrides))
    assert backbone.geometry.facts() == {
        "input_px": 32,
        "crop_pct": 0.875,
        "crop_mode": "center",
        "interpolation": "bicubic",
    }
    assert backbone.normalisation.mean == (0.25, 0.5, 0.75)
    assert backbone.normalisation.std == (0.5, 0.5, 0.5)
