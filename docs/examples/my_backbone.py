"""A backbone of one's own in Python, as docs/adding.md names it: a function that returns a module and its preprocessing."""

from torch import nn


def colours():
    module = nn.Sequential(
        nn.AdaptiveAvgPool2d(4), nn.Flatten()
    )  # (B, 3, H, W) normalised → (B, 48)
    return module, {
        "input_px": 64, "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]
    }  # fmt: skip
