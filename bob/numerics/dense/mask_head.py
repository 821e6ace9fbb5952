"""Instance masks by a small head that is trained on feature maps that are stored.

The head is that of Mask R-CNN as torchvision implements it (He et al. 2017, arXiv:1703.06870):
features of a box by RoIAlign, convolutions of 3 x 3, a transposed one that doubles the side, and a
1 x 1 convolution to one logit per cell, whatever the class. It reads the frozen map: features are
standardised, and a 1 x 1 convolution brings any width D to `mask_channels`. RoIAlign interpolates
the map between the centres of its cells, so that grids of any size serve boxes of any size. Logits
are added to the log-odds of the mean mask of train objects, with which training begins.

Where a mask is relative to its box, cell (i, j) of M x M covers the same part of the box as in the
image: its centre is at (j + 1/2) / M of the width and (i + 1/2) / M of the height. Nothing is
rounded to whole pixels, as in detectron2 and other than in torchvision's `paste_masks_in_image`.

In training, boxes are those of the objects, moved and scaled by up to a tenth of their sides, since
boxes that are found are not exact. Targets are then read from each object's mask around its box, at
twice the resolution of the head, which is stored once: 3 kB for 28 x 28.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import roi_align

from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.numerics.dense.descent import ReadMaps, standardisation
from bob.numerics.dense.fcos import maps_on, one_cycle

JITTER = 0.1
"""Most by which each edge of a training box is moved, in sides of the box."""
AROUND = 1.25
"""Side of what is stored around a box, in sides of the box."""
LEAST_SHARE = 0.01
"""Least and, from 1, most share of the mean mask with which training begins."""
SAMPLES = 2
"""Places of a side of a cell at which RoIAlign interpolates."""


@dataclass(frozen=True)
class MaskRecipe:
    """How a head is built and trained; the same for all backbones."""

    mask_px: int
    """Cells of a side of a mask, an even number."""
    mask_channels: int
    mask_convolutions: int
    """3 x 3 convolutions."""
    mask_epochs: int
    batch: int
    """Images per step."""
    learning_rate: float
    """At its highest, in one cycle of AdamW."""
    weight_decay: float


@dataclass(frozen=True, eq=False)
class MaskTarget:
    """What is to be learnt of an image of `size` (H, W): n boxes, and the masks around them."""

    size: tuple[int, int]
    boxes: Tensor
    """(n, 4) in pixels."""
    around: Tensor
    """(n, S, S) uint8 shares of cells, of 255, in boxes `AROUND` times as wide and high."""


class MaskHead(nn.Module):
    """The head."""

    mean: Tensor
    scale: Tensor
    prior: Tensor

    def __init__(self, mean: Doubles, scale: Doubles, prior: Tensor, recipe: MaskRecipe) -> None:
        """Features minus `mean` (D,), times `scale` (D,), have a unit variance.

        `prior` (M, M) are the log-odds with which training begins.
        """
        super().__init__()
        self.recipe = recipe
        self.register_buffer("prior", prior)
        self.register_buffer("mean", torch.from_numpy(mean).float()[:, None, None])
        self.register_buffer("scale", torch.from_numpy(scale).float()[:, None, None])
        channels = recipe.mask_channels
        self.reduce = nn.Conv2d(len(mean), channels, 1)
        self.layers = MaskRCNNHeads(channels, [channels] * recipe.mask_convolutions, 1)
        self.predictor = MaskRCNNPredictor(channels, channels, 1)
        nn.init.zeros_(self.predictor.mask_fcn_logits.weight)

    def forward(self, maps: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Return the logits (n, M, M) of boxes of each of maps (b, D, h, w), as shares of its
        image: left, top, right and bottom edge (n_i, 4)."""
        x = self.reduce((maps - self.mean) * self.scale)
        features = features_of_boxes(x, boxes, self.recipe.mask_px // 2)
        logits: Tensor = self.predictor(self.layers(features))[:, 0]
        return logits + self.prior


def features_of_boxes(maps: Tensor, boxes: Sequence[Tensor], cells: int) -> Tensor:
    """Return features (n, D, cells, cells) of boxes (n_i, 4), as shares of the image, by RoIAlign
    from maps (b, D, h, w)."""
    height, width = maps.shape[2:]
    scale = torch.tensor([width, height, width, height], device=maps.device)
    on_grid = [(of.to(maps.device) * scale).float() for of in boxes]
    aligned: Tensor = roi_align(maps, on_grid, cells, 1.0, SAMPLES, aligned=True)
    return aligned


def mask_target(
    boxes: Doubles, masks: Bools, size: tuple[int, int], recipe: MaskRecipe
) -> MaskTarget:
    """Return what is to be learnt of the objects (n, 4) of an image with masks (n, H, W).

    Objects without a pixel, or whose boxes have no area, are left out.
    """
    is_there = masks.any(axis=(1, 2)) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    xyxy = torch.from_numpy(boxes[is_there].astype(np.float32))
    around = shares_in_boxes(torch.from_numpy(masks[is_there]), _scaled(xyxy), 2 * recipe.mask_px)
    return MaskTarget(size, xyxy, (255 * around).round().to(torch.uint8))


def shares_in_boxes(masks: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """Return the shares (n, cells, cells) of the cells of each box (n, 4) that are in its mask.

    Of masks (n, H, W), or what is left of them, at boxes in their pixels; outside, there is none.
    """
    if not len(boxes):
        return torch.zeros((0, cells, cells))
    padded = F.pad(masks[:, None].float(), (1, 1, 1, 1))
    of_boxes = list((boxes + 1)[:, None])
    # RoIAlign takes an edge's value up to half a pixel beyond it: of the padding, that is zero
    shares: Tensor = roi_align(padded, of_boxes, cells, 1.0, -1, aligned=True)[:, 0]
    return shares


def _scaled(boxes: Tensor) -> Tensor:
    """Return boxes (n, 4) that are `AROUND` times as wide and high."""
    margin = (boxes[:, 2:] - boxes[:, :2]) * (AROUND - 1) / 2
    return torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], dim=1)


def moved(target: MaskTarget, cells: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return boxes (n, 4) near those of a target, as shares of the image, and their masks."""
    sides = (target.boxes[:, 2:] - target.boxes[:, :2]).repeat(1, 2)
    shift = (2 * torch.rand(target.boxes.shape, generator=generator) - 1) * JITTER
    boxes = target.boxes + shift * sides
    whole, side = _scaled(target.boxes), target.around.shape[-1]
    unit = (whole[:, 2:] - whole[:, :2]).repeat(1, 2) / side
    inside = (boxes - whole[:, :2].repeat(1, 2)) / unit
    return _as_shares(boxes, target.size), shares_in_boxes(target.around / 255, inside, cells)


def _as_shares(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    return boxes / torch.tensor([width, height, width, height])


def train_masks(
    read: ReadMaps, targets: Sequence[MaskTarget], recipe: MaskRecipe, seed: int, device: str
) -> MaskHead:
    """Train a head on the maps of N images. Weights, order and boxes follow from the seed."""
    mean, scale = standardisation(read, len(targets))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = MaskHead(mean, scale, log_odds(targets, recipe.mask_px), recipe).to(device)
    with_objects = torch.tensor([i for i, of in enumerate(targets) if len(of.boxes)])
    order = [
        with_objects[torch.randperm(len(with_objects), generator=generator)]
        for _ in range(recipe.mask_epochs)
    ]
    batches = [batch for of_epoch in order for batch in torch.split(of_epoch, recipe.batch)]
    head.train()
    for batch, step in one_cycle(head, batches, recipe.learning_rate, recipe.weight_decay):
        found = [moved(targets[i], recipe.mask_px, generator) for i in batch.tolist()]
        logits = head(maps_on(read, batch.numpy(), device), [boxes for boxes, _ in found])
        shares = torch.cat([of for _, of in found]).to(device)
        step(F.binary_cross_entropy_with_logits(logits, shares))
    return head.eval()


def log_odds(targets: Sequence[MaskTarget], cells: int) -> Tensor:
    """Return the log-odds (cells, cells) of the mean mask in the boxes of train objects."""
    around = torch.cat([of.around for of in targets]).float().mean(dim=0) / 255
    side, margin = around.shape[-1], (1 - 1 / AROUND) / 2
    box = torch.tensor([[margin, margin, 1 - margin, 1 - margin]]) * side
    return torch.logit(shares_in_boxes(around[None], box, cells)[0], eps=LEAST_SHARE)


def masks_in_boxes(head: MaskHead, grid: Floats, boxes: Doubles, size: tuple[int, int]) -> Floats:
    """Return the probabilities (n, M, M) of the cells of boxes (n, 4) of an image of `size` (H, W),
    from its map (h, w, D)."""
    if not len(boxes):
        return np.zeros((0, head.recipe.mask_px, head.recipe.mask_px), np.float32)
    maps = maps_on(lambda _: grid[None], np.zeros(1, np.int64), str(head.mean.device))
    with torch.inference_mode():
        shares = _as_shares(torch.from_numpy(boxes), size)
        probabilities: Floats = torch.sigmoid(head(maps, [shares])).cpu().numpy()
    return probabilities


def pasted(probabilities: Floats, boxes: Doubles, size: tuple[int, int]) -> Bools:
    """Return the masks (n, H, W) of boxes (n, 4) whose cells (n, M, M) have these probabilities.

    A pixel whose centre is in the box belongs to the mask where the probability, interpolated
    between the centres of cells, is more than a half.
    """
    masks = np.zeros((len(boxes), *size), bool)
    for mask, cells, (left, top, right, bottom) in zip(masks, probabilities, boxes, strict=True):
        rows, at_rows = _pixels(top, bottom, size[0], len(cells))
        columns, at_columns = _pixels(left, right, size[1], len(cells))
        mask[np.ix_(rows, columns)] = at_rows @ cells @ at_columns.T > 0.5
    return masks


def box_pixels(boxes: Doubles, size: tuple[int, int]) -> Bools:
    """Return the pixels (n, H, W) whose centres are in boxes (n, 4)."""
    return pasted(np.ones((len(boxes), 1, 1), np.float32), boxes, size)


def resampled(masks: Bools, boxes: Doubles, cells: int) -> Bools:
    """Return masks (n, H, W) as `cells` x `cells` shares in their boxes (n, 4) give them back."""
    shares = shares_in_boxes(torch.from_numpy(masks), torch.from_numpy(boxes).float(), cells)
    return pasted(shares.numpy(), boxes, (masks.shape[1], masks.shape[2]))


def _pixels(first: float, last: float, side: int, cells: int) -> tuple[Ints, Doubles]:
    """Return the pixels (k,) whose centres are between two edges, and the weights (k, cells) that
    interpolate there between centres of cells."""
    pixels = np.arange(max(0, int(np.ceil(first - 0.5))), min(side, int(np.ceil(last - 0.5))))
    place = ((pixels + 0.5 - first) / (last - first) * cells - 0.5).clip(0, cells - 1)
    return pixels, (1 - np.abs(place[:, None] - np.arange(cells))).clip(min=0)
