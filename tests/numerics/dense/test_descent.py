"""The head that papers train: its schedule and loss by hand, and torch's own layers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bob.numerics.dense.descent import (
    Recipe,
    TrainImages,
    pixel_loss,
    rate,
    standardisation,
    trained_head,
)

RECIPE = Recipe(
    epochs=3, batch=4, lr=0.01, weight_decay=0.1, dropout=0.0, warm_up=0.0, decay="cosine"
)


def images(n: int = 8, seed: int = 0) -> TrainImages:
    """Return images of 2 x 3 patches with 4 channels and masks of 4 x 6 pixels, some ignored."""
    rng = np.random.default_rng(seed)
    maps = (5 + 3 * rng.normal(size=(n, 2, 3, 4))).astype(np.float32)
    masks = rng.integers(-1, 3, (n, 4, 6))
    return TrainImages(n, lambda at: maps[at], lambda i: masks[i])


def test_the_rate_rises_and_falls_as_by_hand() -> None:
    """10 steps, of which 4 warm up."""
    assert rate(0, 10, 4, "cosine") == pytest.approx(1e-6)  # 1 x (1 - 1 x (1 - 1e-6))
    assert rate(2, 10, 4, "linear") == pytest.approx(0.8 * 0.5, rel=1e-5)  # half of the way
    assert rate(4, 10, 4, "linear") == pytest.approx(0.6)
    assert rate(4, 10, 4, "cosine") == pytest.approx(0.5)  # cos(pi 5 / 10) = 0
    assert rate(9, 10, 4, "cosine") == pytest.approx(0)
    assert rate(9, 10, 4, "linear") == pytest.approx(0.1)


def test_the_loss_is_the_mean_over_counted_pixels_of_all_images() -> None:
    """Of one patch, every pixel has its logits: ln 2 with equal ones, ln(1 + 1/3) for class 0."""
    logits = torch.tensor([[0.0, 0.0], [np.log(3), 0.0]])[:, :, None, None]
    masks = [np.array([[0, 1, -1]]), np.array([[0], [-1]])]
    expected = (2 * np.log(2) + np.log(4 / 3)) / 3
    assert float(pixel_loss(logits, masks)) == pytest.approx(expected)
    assert float(pixel_loss(logits, [np.full((1, 1), -1)] * 2)) == 0


def test_standardised_features_have_mean_0_and_variance_1() -> None:
    of = images(70)
    mean, scale = standardisation(of.maps, of.count)
    x = of.maps(np.arange(70)).reshape(-1, 4)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(1 / scale, x.std(axis=0), rtol=1e-5)


def test_the_head_is_that_of_torchs_layers_on_maps() -> None:
    """A slow version: batch norm and a 1 x 1 convolution on (B, D, h, w), in evaluation."""
    of, classes = images(), 3
    generator = torch.Generator().manual_seed(7)
    x = of.maps(np.arange(8)).astype(np.float64)
    z = torch.from_numpy((x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2))).float()
    norm, convolution = nn.BatchNorm2d(4), nn.Conv2d(4, classes, 1)
    nn.init.normal_(convolution.weight, std=0.01, generator=generator)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    model = nn.Sequential(norm, convolution)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RECIPE.lr, weight_decay=0.1)
    step, steps = 0, 6
    for _ in range(RECIPE.epochs):
        for at in torch.randperm(8, generator=generator).reshape(2, 4):
            for group in optimiser.param_groups:
                group["lr"] = RECIPE.lr * rate(step, steps, 0, "cosine")
            masks = torch.stack([torch.from_numpy(of.mask(i)) for i in at.tolist()])
            logits = F.interpolate(model(z[at].permute(0, 3, 1, 2)), (4, 6), mode="bilinear")
            loss = F.cross_entropy(logits, masks, ignore_index=-1)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            step += 1
    with torch.no_grad():
        expected = model.eval()(z.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    head = trained_head(of, classes, RECIPE, 7, "cpu")
    np.testing.assert_allclose(head.logits(x), expected, atol=1e-5)


def test_a_seed_gives_one_head() -> None:
    dropped = Recipe(**{**vars(RECIPE), "dropout": 0.5})
    first, second, other = (trained_head(images(), 3, dropped, s, "cpu") for s in (0, 0, 1))
    assert np.array_equal(first.weight, second.weight)
    assert not np.array_equal(first.weight, other.weight)


def test_a_constant_feature_has_no_weight() -> None:
    of = images()
    varies = np.array([1, 1, 1, 0], np.float32)
    constant = TrainImages(8, lambda at: of.maps(at) * varies + 1, of.mask)
    head = trained_head(constant, 3, RECIPE, 0, "cpu")
    assert not head.weight[:, 3].any() and head.weight[:, :3].all()
