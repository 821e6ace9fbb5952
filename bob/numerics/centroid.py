"""Nearest centroid: the class whose mean train row is nearest in Euclidean distance.

Follows prototypical networks (Snell et al. 2017, arXiv:1703.05175) on frozen features and
SimpleShot's L2N variant (Wang et al. 2019, arXiv:1911.04623): rows are scaled to length 1 first,
means are not. (SimpleShot's CL2N first subtracts the mean of its base classes; here there are
none.)
"""

import torch
from torch import Tensor


def fit(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return weights (B, C, D) and biases (B, C) of B problems, whose largest score is the nearest.

    x (B, n, D) are rows of length 1, y (B, n) their labels. ‖q - m‖² = ‖q‖² - 2 (q·m - ‖m‖²/2), and
    ‖q‖² is the same for all classes. A class without rows is never the nearest.
    """
    label = torch.nn.functional.one_hot(y, classes).to(x.dtype)
    count = label.sum(1)
    mean = label.transpose(1, 2) @ x / count.clamp(min=1)[:, :, None]
    return mean, torch.where(count > 0, -mean.square().sum(2) / 2, -torch.inf)


def scores(gram: Tensor, products: Tensor, y: Tensor, classes: int) -> Tensor:
    """Return the same scores (B, Q, C) from products alone; every class must have rows.

    `gram` (B, n, n) are products of train rows with each other, `products` (B, Q, n) those of
    queries with train rows.
    """
    share = torch.nn.functional.one_hot(y, classes).to(gram.dtype)
    share = share / share.sum(1, keepdim=True)
    return products @ share - ((gram @ share) * share).sum(1, keepdim=True) / 2
