"""A second opinion on windows: the sliding inference of mmsegmentation, written down for n x n."""

import torch
from torch.nn.functional import interpolate, pad

from bob.numerics.dense.windows import window_areas


def slide_logits(logits: torch.Tensor, size: tuple[int, int], windows: int) -> torch.Tensor:
    """Return the mean logits (C, H, W), as `slide_inference` of mmsegmentation computes them.

    `logits` (n * n, C, h, w). Each is upsampled, padded to the image and added; the sum is divided
    by how often a pixel was covered.
    """
    total, count = torch.zeros(logits.shape[1], *size), torch.zeros(1, *size)
    for of_window, (rows, columns) in zip(logits, window_areas(size, windows), strict=True):
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        crop = interpolate(of_window[None], size=shape, mode="bilinear", align_corners=False)[0]
        border = (columns.start, size[1] - columns.stop, rows.start, size[0] - rows.stop)
        total += pad(crop, border)
        count[:, rows, columns] += 1
    return total / count
