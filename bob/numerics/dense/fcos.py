"""A detection head that is trained on feature maps that are stored: FCOS on a pyramid of the map.

The heads, the assignment of boxes to cells, the losses and the selection of detections are those of
torchvision's FCOS (Tian et al. 2020, arXiv:2006.09214). Its backbone is replaced by what the map of
a frozen one is made into: features are standardised, a 1 x 1 convolution brings any width D to
`channels`, and bilinear resizing brings any grid to the same levels of cells, each with a 3 x 3
convolution, group normalisation and a ReLU. Apart from that 1 x 1 convolution, all backbones
therefore have the same head, with the same cells.

Boxes are in units of which a side of the image has 16 for each cell of the finest level, as in a
square image with strides of 16, 32, 64, ... pixels; the cells of a level predict boxes with a
farthest edge at 4 to 8 strides from their centres, and those of the first and last level also
nearer and farther ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import FCOS
from torchvision.models.detection.fcos import FCOSHead

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.descent import ReadMaps, standardisation
from bob.numerics.dense.detections import MOST, Detections

RISING = 0.1
"""Share of the steps in which the learning rate rises, but for trainings of less than 15 steps."""
STRIDE = 16
"""Units of a cell of the finest level."""
GROUPS = 32
"""Groups of the normalisation, as in torchvision's heads; divides `channels`."""
LEAST_SCORE, NMS_OVERLAP = 0.05, 0.6
"""Least score and overlap of a class at inference, as in the official code of FCOS."""


@dataclass(frozen=True)
class FcosRecipe:
    """How a head is built and trained; the same for all backbones."""

    cells: int
    """Cells of a side of the finest level; each further level has half as many."""
    levels: int
    channels: int
    convolutions: int
    """3 x 3 convolutions of the branch of classes and of that of boxes."""
    epochs: int
    batch: int
    learning_rate: float
    """At its highest, in one cycle of AdamW."""
    weight_decay: float

    @property
    def grids(self) -> list[int]:
        """The cells of a side of each level."""
        return [-(-self.cells // 2**level) for level in range(self.levels)]

    @property
    def side(self) -> int:
        """The side of an image, in the units of boxes."""
        return STRIDE * self.cells


class MapDetector(nn.Module):
    """The pyramid and the heads."""

    mean: Tensor
    scale: Tensor
    anchors: Tensor

    def __init__(self, mean: Doubles, scale: Doubles, classes: int, recipe: FcosRecipe) -> None:
        """Features minus `mean` (D,), times `scale` (D,), have a unit variance."""
        super().__init__()
        self.recipe = recipe
        self.register_buffer("mean", torch.from_numpy(mean).float()[:, None, None])
        self.register_buffer("scale", torch.from_numpy(scale).float()[:, None, None])
        channels = recipe.channels
        self.reduce = nn.Conv2d(len(mean), channels, 1)
        self.levels = nn.ModuleList(_block(channels) for _ in recipe.grids)
        backbone = nn.Identity()
        backbone.out_channels = channels  # type: ignore[assignment]
        self.fcos = FCOS(
            backbone,
            classes,
            head=FCOSHead(channels, 1, classes, recipe.convolutions),
            score_thresh=LEAST_SCORE,
            nms_thresh=NMS_OVERLAP,
            detections_per_img=MOST,
        )
        self.register_buffer("anchors", cell_boxes(recipe.grids, recipe.side))

    @property
    def cells(self) -> list[int]:
        """The number of cells of each level."""
        return [grid**2 for grid in self.recipe.grids]

    def forward(self, maps: Tensor) -> dict[str, Tensor]:
        """Return what the heads predict for the cells of all levels, from maps (n, D, h, w)."""
        x = self.reduce((maps - self.mean) * self.scale)
        pyramid = [
            block(_resized(x, grid))
            for block, grid in zip(self.levels, self.recipe.grids, strict=True)
        ]
        outputs: dict[str, Tensor] = self.fcos.head(pyramid)
        return outputs

    def loss(self, maps: Tensor, targets: list[dict[str, Tensor]]) -> Tensor:
        """Return FCOS's loss: of classes, boxes and centreness."""
        losses = self.fcos.compute_loss(
            targets, self(maps), [self.anchors] * len(targets), self.cells
        )
        return torch.stack(list(losses.values())).sum()

    def detect(self, maps: Tensor) -> list[dict[str, Tensor]]:
        """Return boxes, scores and labels of the detections in each image."""
        outputs = {name: _by_level(of, self.cells, 1) for name, of in self(maps).items()}
        levels = [_by_level(self.anchors, self.cells, 0)] * len(maps)
        sizes = [(self.recipe.side, self.recipe.side)] * len(maps)
        found: list[dict[str, Tensor]] = self.fcos.postprocess_detections(outputs, levels, sizes)
        return found


def _by_level(values: Tensor, cells: list[int], axis: int) -> list[Tensor]:
    return list(torch.split(values, cells, dim=axis))


def _block(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(GROUPS, channels), nn.ReLU()
    )


def _resized(x: Tensor, grid: int) -> Tensor:
    return F.interpolate(x, (grid, grid), mode="bilinear", antialias=True)


def cell_boxes(grids: Sequence[int], side: float) -> Tensor:
    """Return the cells (A, 4) of square grids as boxes, row by row, grid by grid."""
    boxes = []
    for grid in grids:
        edges = torch.arange(grid) * (side / grid)
        top, left = torch.meshgrid(edges, edges, indexing="ij")
        upper_left = torch.stack([left.flatten(), top.flatten()], dim=1)
        boxes.append(torch.cat([upper_left, upper_left + side / grid], dim=1))
    return torch.cat(boxes)


def target_of(
    xyxy: Doubles, labels: Ints, size: tuple[int, int], recipe: FcosRecipe
) -> dict[str, Tensor]:
    """Return what is to be learnt of an image of `size` (H, W): boxes (n, 4) and classes (n,).

    Boxes without area are left out: torchvision's loss does not take them.
    """
    height, width = size
    scaled = xyxy / (width, height, width, height) * recipe.side
    has_area = (scaled[:, 2:] > scaled[:, :2]).all(axis=1)
    return {
        "boxes": torch.from_numpy(scaled[has_area].astype(np.float32)),
        "labels": torch.from_numpy(labels[has_area]),
    }


def train_fcos(
    read: ReadMaps,
    targets: Sequence[dict[str, Tensor]],
    classes: int,
    recipe: FcosRecipe,
    seed: int,
    device: str,
) -> MapDetector:
    """Train a head on the maps of N images, without augmentation.

    `targets` (N) are those of `target_of`. Weights and the order of images follow from the seed.
    """
    mean, scale = standardisation(read, len(targets))
    learnt = [{name: values.to(device) for name, values in of.items()} for of in targets]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = MapDetector(mean, scale, classes, recipe).to(device)
        order = [torch.randperm(len(targets)) for _ in range(recipe.epochs)]
    batches = [batch for of_epoch in order for batch in torch.split(of_epoch, recipe.batch)]
    detector.train()
    for batch, step in one_cycle(detector, batches, recipe.learning_rate, recipe.weight_decay):
        step(detector.loss(maps_on(read, batch.numpy(), device), [learnt[i] for i in batch]))
    return detector.eval()


def one_cycle(
    model: nn.Module, batches: Sequence[Tensor], learning_rate: float, weight_decay: float
) -> Iterator[tuple[Tensor, Callable[[Tensor], None]]]:
    """Yield each batch with the function that takes its loss and makes a step of AdamW.

    The learning rate rises in `RISING` of the batches, and falls in the others.
    """
    optimiser = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=weight_decay)
    # PyTorch divides by zero where the rate is to be at its highest in the first step
    rising = min(0.75, max(RISING, 1.5 / len(batches)))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, len(batches), pct_start=rising
    )

    def step(loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()

    for batch in batches:
        yield batch, step


def maps_on(read: ReadMaps, at: Ints, device: str) -> Tensor:
    """Return maps (n, D, h, w) on a device."""
    return torch.from_numpy(read(at)).permute(0, 3, 1, 2).to(device)


def detections_of(
    detector: MapDetector, maps: Floats, sizes: Sequence[tuple[int, int]]
) -> list[Detections]:
    """Return the detections in images of these sizes (H, W), from their maps (n, h, w, D)."""
    device = str(detector.anchors.device)
    with torch.inference_mode():
        found = detector.detect(maps_on(lambda _: maps, np.arange(len(maps)), device))
    return [_scaled(of, size, detector.recipe.side) for of, size in zip(found, sizes, strict=True)]


def _scaled(found: dict[str, Tensor], size: tuple[int, int], side: float) -> Detections:
    """Return detections in pixels of an image, by descending scores."""
    arrays = {name: of.cpu().numpy() for name, of in found.items()}
    scale: Doubles = np.array([size[1], size[0], size[1], size[0]]) / side
    return Detections(
        arrays["boxes"] * scale, arrays["scores"].astype(np.float64), arrays["labels"]
    )
