"""What depth prediction sums over feature maps while they are computed; no map is stored.

`depth_sums` are the sums over patches from which linear regressions on depth are solved, for both
kinds of heads; and `depth_errors` the errors of such heads, image by image. The targets of a patch
are the means over its pixels of known depth; predictions are upsampled to the depth map's own size.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.datasets.depths import Depths
from bob.datasets.windows import WindowDepths
from bob.errors import DatasetError, UndefinedError
from bob.extraction.accumulators import (
    AccumulatorSpec,
    Earlier,
    add_arrays,
    extend_images,
    image_chunks,
    join_images,
    register_accumulator,
)
from bob.features.shard import Arrays
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.cells import cell_means, cell_shares
from bob.numerics.dense.depth import (
    ERRORS,
    Spacing,
    bin_centres,
    depth_errors,
    expected_depth,
    nearest_bins,
    scale_and_shift,
)
from bob.numerics.dense.pixels import at_centres
from bob.numerics.dense.principal import PrincipalColours
from bob.numerics.dense.windows import joined_values, of_complete_images
from bob.numerics.linear.class_sums import LinearHead
from bob.numerics.linear.target_sums import TargetSums, ridge_path
from bob.protocols.dense import StrengthPath, sums_and_strengths
from bob.protocols.kept_images import KeptImages, kept_images

DepthHeadKind = Literal["log", "bins"]
PREDICTORS = ("head", "ceiling", "constant", "place")
"""What is scored on test images: the chosen head; the true depth of the cells; and, without looking
at the image, the exponential of the mean log depth of train, of all pixels and of those at the same
place. Each as it is, and then aligned by scale and shift."""
_UNKNOWN = -1


@dataclass(frozen=True)
class DepthBins:
    """Bins of depth, as plain data."""

    bins: int
    spacing: Spacing


@dataclass(frozen=True)
class DepthHead(StrengthPath):
    """A path of regressions, as plain data."""

    head: DepthHeadKind


def depth_sums_spec(bins: DepthBins, windows: int | None = None) -> AccumulatorSpec:
    """Return the sums over patches."""
    return AccumulatorSpec("depth_sums", 1, _settings(vars(bins), windows))


def depth_errors_spec(
    head: DepthHead, bins: DepthBins, *, every_strength: bool, windows: int | None = None
) -> AccumulatorSpec:
    """Return the errors of the heads of `every_strength`, or of the chosen one and its bounds.

    They depend on earlier statistics as those of `segmentation_statistics.counts_spec` do.
    """
    settings = {**vars(head), **vars(bins), "every_strength": every_strength}
    return AccumulatorSpec("depth_errors", 2, _settings(settings, windows))


def _settings(settings: Mapping[str, Any], windows: int | None) -> tuple[tuple[str, Any], ...]:
    """Return settings as an accumulator states them; those of whole images state no windows."""
    return tuple(sorted({**settings, **({} if windows is None else {"windows": windows})}.items()))


@dataclass(frozen=True, eq=False)
class DepthTargets:
    """Targets of cells, and depth from targets: log depth first, then the share of each bin."""

    depths: Depths
    bins: DepthBins

    @functools.cached_property
    def centres(self) -> Doubles:
        return bin_centres(self.depths.range_m, self.bins.bins, self.bins.spacing)

    def of(self, position: int, grid: tuple[int, int]) -> tuple[Doubles, Doubles]:
        """Return the targets (h, w, 1 + B) of an image's cells, and their weight (h, w).

        The weight is the share of the cell's pixels whose depth is known.
        """
        depth = self.depths.read(position)
        counted = self.depths.counted(depth)
        known = np.where(counted, depth, self.centres[0]).astype(np.float64)
        log_depth, weight = cell_means(np.log(known), counted, grid)
        bins, spacing = self.bins.bins, self.bins.spacing
        index = nearest_bins(known, self.depths.range_m, bins, spacing)
        shares = cell_shares(np.where(counted, index, _UNKNOWN), grid, bins)
        shares /= np.where(weight > 0, weight, 1)[..., None]
        return np.concatenate([log_depth[..., None], shares], axis=2), weight

    def columns(self, head: DepthHeadKind) -> slice:
        """Return which targets a head predicts."""
        return slice(0, 1) if head == "log" else slice(1, None)

    def decode(self, head: DepthHeadKind, targets: Doubles) -> Doubles:
        """Return depth in metres (...), within the range, from a head's targets (..., K)."""
        least, most = self.depths.range_m
        if head == "bins":
            return expected_depth(targets, self.centres)
        log_depth = targets[..., 0].clip(np.log(least), np.log(most))
        return np.asarray(np.exp(log_depth), np.float64)


@dataclass(frozen=True, eq=False)
class DepthSums:
    """Sums over patches of features and targets, in float64.

    `place` (2, h, w) sums log depth and weight over images; with n x n windows of each, it is
    (n * n, 2, h, w).
    """

    targets: DepthTargets
    windows: int = 1

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return sums of nothing."""
        width, count, maps = shape[-1], 1 + self.targets.bins.bins, self.windows**2
        return {
            "place": np.zeros((2, *shape[:2]) if maps == 1 else (maps, 2, *shape[:2])),
            **vars(TargetSums.zeros(width, count)),
        }

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,)."""
        grid = features.shape[1], features.shape[2]
        for at in image_chunks(features):
            of_images = [self.targets.of(position, grid) for position in positions[at].tolist()]
            targets = np.concatenate([y.reshape(-1, y.shape[2]) for y, _ in of_images])
            weight = np.concatenate([w.reshape(-1) for _, w in of_images])
            places = statistics["place"].reshape(self.windows**2, 2, *grid)
            for position, (y, w) in zip(positions[at].tolist(), of_images, strict=True):
                places[position % self.windows**2] += [y[..., 0] * w, w]
            x = features[at].reshape(-1, features.shape[3])
            for name, values in vars(TargetSums.of(x, weight, targets)).items():
                statistics[name] += values

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Add the sums of shards."""
        return add_arrays(parts)


@dataclass(frozen=True, eq=False)
class DepthErrorSums:
    """Errors per image, in the order of `bob.numerics.dense.depth.ERRORS`.

    `errors` (N, S, 7) of the heads of every strength; or (N, 8, 7) of `PREDICTORS`, and then of the
    same predictions aligned by scale and shift. Of the images to keep, `depth` (K, h, w) are the
    predictions of cells in metres, and `colours` (K, h, w, 3) show the features of patches.
    """

    targets: DepthTargets
    head: DepthHead
    every_strength: bool
    earlier: Earlier
    kept: KeptImages | None
    """None with every strength."""
    windows: int = 1
    """n of the n x n windows of an image whose maps are its own; 1 is the whole image."""

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return errors of no image."""
        rows = self.head.count if self.every_strength else 2 * len(PREDICTORS)
        errors = {
            "positions": np.zeros(0, np.int64),
            "errors": np.zeros((0, rows, len(ERRORS))),
            "grid": np.array(shape[:2], np.int64),
        }
        if self.kept is None:
            return errors
        shown: dict[str, NDArray[Any]] = {"depth": np.zeros((0, *shape[:2]), np.float32)}
        if self.windows == 1:
            shown["colours"] = np.zeros((0, *shape[:2], 3), np.uint8)
        return {**errors, **self.kept.start(shown)}

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,), or of windows of images.

        An image of which a window is missing is left out.
        """
        maps = self.windows**2
        complete = of_complete_images(positions, maps)
        if not complete.all():
            positions, features = positions[complete], features[complete]
        for first in range(0, len(positions), maps):
            position, grids = int(positions[first]) // maps, features[first : first + maps]
            cells = [self.targets.decode(self.head.head, head.logits(grids)) for head in self.heads]
            true = self.depths.read(position)
            errors = self._errors(position, true, grids.shape[1:3], cells)
            if self.kept is not None:
                shown = self._shown(grids, cells[0], true.shape)
                self.kept.add(statistics, position, errors[0, 0], shown)
            extend_images(statistics, {"positions": np.array([position]), "errors": errors[None]})

    @functools.cached_property
    def depths(self) -> Depths:
        """The depth maps of whole images."""
        depths = self.targets.depths
        return depths.whole if isinstance(depths, WindowDepths) else depths

    def _errors(
        self, position: int, true: Floats, grid: tuple[int, ...], of_heads: Sequence[Doubles]
    ) -> Doubles:
        """Return the errors of an image from the depth of cells (n * n, h, w) by each head."""
        maps, kind = self.windows**2, self.head.head
        scored = self.depths.scored(true)
        known = true[scored].astype(np.float64)
        if self.every_strength:
            return np.stack(
                [depth_errors(joined_values(c, true.shape)[scored], known) for c in of_heads]
            )
        of_windows = [
            self.targets.of(position * maps + window, (grid[0], grid[1])) for window in range(maps)
        ]
        targets, weight = (np.stack(values) for values in zip(*of_windows, strict=True))
        ceiling = self.targets.decode(kind, targets[..., self.targets.columns(kind)])
        ceiling[weight == 0] = self.constant
        cells = [*of_heads, ceiling, np.full((maps, *grid), self.constant), self.place]
        predicted = [joined_values(c, true.shape)[scored] for c in cells]
        aligned = [self._aligned(p, known) for p in predicted]
        return np.stack([depth_errors(p, known) for p in (*predicted, *aligned)])

    def _shown(
        self, grids: Floats, cells: Doubles, size: tuple[int, int]
    ) -> dict[str, NDArray[Any]]:
        """Return what is kept of an image; of windows, depth at the centres of as many cells."""
        if self.windows == 1:
            return {"depth": cells[0].astype(np.float32), "colours": self.colours(grids[0])}
        joined = at_centres(joined_values(cells, size), (cells.shape[1], cells.shape[2]))
        return {"depth": joined.astype(np.float32)}

    def _aligned(self, predicted: Doubles, known: Doubles) -> Doubles:
        if not len(known):
            return predicted
        scale, shift = scale_and_shift(predicted, known)
        return (scale * predicted + shift).clip(*self.targets.depths.range_m)

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Join the images of all shards, in their order."""
        kept = {} if self.kept is None else self.kept.merge(parts)
        return {**join_images(parts, ("errors",)), **kept, "grid": parts[0]["grid"]}

    @functools.cached_property
    def heads(self) -> list[LinearHead]:
        """The head of every strength, or of the chosen one; UndefinedError without known depth."""
        sums, strengths = self.sums_and_strengths()
        if not sums["weight"].any():
            least, most = self.depths.range_m
            raise UndefinedError(
                f"no train pixel has a depth between {least:g} and {most:g} m: do the depth maps "
                "hold as many steps for a metre as is stated?"
            )
        columns = self.targets.columns(self.head.head)
        return ridge_path(TargetSums.read(sums).only(columns), strengths)

    def sums_and_strengths(self) -> tuple[Arrays, list[float]]:
        """Sums over the images to fit; with a chosen strength, over all train images.

        They are read when something is solved from them, and not kept, as those of
        `bob.protocols.segmentation_statistics.LinearHeads`.
        """
        return sums_and_strengths(
            self.head, self.every_strength, self.earlier, lambda of: mean_delta1(of["errors"])
        )

    @functools.cached_property
    def colours(self) -> PrincipalColours:
        """Colours of features along the principal axes of train patches."""
        sums, _ = self.sums_and_strengths()
        return PrincipalColours.of(float(sums["weight"][0]), sums["features"], sums["gram"])

    @property
    def constant(self) -> float:
        """The exponential of the mean log depth of train pixels."""
        return self._constant_and_place[0]

    @property
    def place(self) -> Doubles:
        """The same of the pixels of each cell (n * n, h, w)."""
        return self._constant_and_place[1]

    @functools.cached_property
    def _constant_and_place(self) -> tuple[float, Doubles]:
        sums, _ = self.sums_and_strengths()
        constant = float(np.exp(sums["targets"][0] / sums["weight"][0]))
        by_window = sums["place"].reshape(-1, *sums["place"].shape[-3:])
        log_depth, weight = by_window[:, 0], by_window[:, 1]
        mean = log_depth / np.where(weight > 0, weight, 1)
        return constant, np.where(weight > 0, np.exp(mean), constant)


def mean_delta1(errors: Doubles) -> list[float]:
    """Return the mean over images of delta1 of each of S heads, from errors (N, S, 7).

    Zero for each where no image has a pixel of known depth.
    """
    counted = errors[~np.isnan(errors[:, 0, 0])]
    if not len(counted):
        return [0.0] * errors.shape[1]
    return [float(value) for value in counted[:, :, 0].mean(axis=0)]


def depths_of(split: Split) -> Depths:
    """Return the depth maps of a split; DatasetError where it has none."""
    if split.depths is None:
        raise DatasetError("depth needs a depth map for each image; these images have none.")
    return split.depths


def _targets(settings: Mapping[str, Any], split: Split) -> DepthTargets:
    bins = DepthBins(settings["bins"], settings["spacing"])
    return DepthTargets(depths_of(split), bins)


def _make_sums(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> DepthSums:
    return DepthSums(_targets(settings, split), settings.get("windows", 1))


def _make_errors(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> DepthErrorSums:
    head, every = DepthHead.read(settings), settings["every_strength"]
    windows = settings.get("windows", 1)
    kept = None if every else kept_images(split, windows)
    return DepthErrorSums(_targets(settings, split), head, every, earlier, kept, windows)


register_accumulator("depth_sums", _make_sums)
register_accumulator("depth_errors", _make_errors)
