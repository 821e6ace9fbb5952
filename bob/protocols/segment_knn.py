"""Semantic segmentation by the nearest patches of train images: in-context scene understanding.

Hummingbird (Balažević et al. 2023, arXiv:2306.01667), after the open re-implementation
(github.com/vpariza/open-hummingbird-eval, version 2.0.0): a memory of train patches with the shares
of their pixels in each class; each test patch takes the mean of the shares of its k = 30 nearest by
cosine, weighted by softmax(cosine / 0.02); the shares are upsampled bilinearly, and the largest
wins. Nothing is learnt, and nothing is chosen.

Of each train image equally many patches are kept. Patches with rare classes come first: those with
the smallest  u x (sum over the classes in the patch of the image's patches with that class), where
u is uniform in [0, 1).

Differs from that code in the following points:

- images are squashed, once, where it also keeps patches of randomly cropped copies; with
  `windows`, so is each window, of train and test, and shares are averaged where windows overlap;
- the search is exact, and the random numbers of an image follow from its content, so that the
  memory depends neither on the order of images nor on the batch;
- ignored pixels count for no class, where it counts them as class 0 in the memory; patches without
  a labelled pixel are kept only where an image has too few others, and have no vote.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.datasets.windows import windows_per_image
from bob.extraction.accumulators import (
    AccumulatorSpec,
    Earlier,
    extend_images,
    join_images,
    register_accumulator,
)
from bob.features.shard import Arrays
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.cells import cell_shares
from bob.outcomes import SegmentationCounts
from bob.protocols.caveats import absent_classes
from bob.protocols.dense import DENSE_KINDS, WindowedMapSettings, sets_to_test, squashed
from bob.protocols.needs import Inputs, Needs, StatisticsNeed
from bob.protocols.protocol import Protocol, Result
from bob.protocols.segmentation import detail_of_test, require_masks, result_parts
from bob.protocols.segmentation_statistics import PixelCounts, counts_of_test, masks_of
from bob.specs import BackboneSpec
from bob.specs.numbers import Count


class SegmentKnnSettings(WindowedMapSettings):
    """Settings of segmentation by nearest patches."""

    memory: Count
    """Number of train patches to keep, divided among the images, or among their windows."""
    k: Count
    """Number of nearest patches that vote."""
    temperature: Annotated[float, Field(gt=0)]
    """A patch's vote weighs exp(cosine / temperature)."""


@dataclass(frozen=True, eq=False)
class KnnProblem:
    """Counts of pixels of the test sets, and the memory's class shares."""

    classes: tuple[str, ...]
    train_pixels: Doubles
    """(C,) pixels of each class in all train images, in cells."""
    memory_patches: int
    tests: Mapping[str, Arrays]


class SegmentKnn(Protocol[SegmentKnnSettings, KnnProblem]):
    """Votes of the nearest train patches."""

    name = "segment_knn"
    settings = SegmentKnnSettings
    kinds = DENSE_KINDS
    outcomes = (SegmentationCounts,)

    def needs(
        self, settings: SegmentKnnSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_masks(dataset)
        variant, classes = squashed(backbone, settings), len(dataset.classes)
        windows = settings.windows
        maps = len(dataset.splits["train"]) * windows_per_image(windows)
        per_map = max(1, settings.memory // maps)
        memory = AccumulatorSpec("patch_memory", 1, (("classes", classes), ("per_image", per_map)))
        votes = {"classes": classes, "k": settings.k, "temperature": settings.temperature}
        joined = settings.joined_windows
        votes |= {} if joined is None else {"windows": joined}
        counts = AccumulatorSpec("segmentation_knn_counts", 2, tuple(sorted(votes.items())))
        kept = StatisticsNeed(variant, ImageSet("train", windows=windows), memory)
        return [kept] + [
            StatisticsNeed(variant, ImageSet(name, windows=windows), counts, after=(kept,))
            for name in sets_to_test(dataset)
        ]

    def build(
        self,
        settings: SegmentKnnSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> KnnProblem:
        kept, *counts = needs
        assert isinstance(kept, StatisticsNeed)
        pixels, tests = inputs.statistics(kept)["pixels"], {}
        for need in counts:
            assert isinstance(need, StatisticsNeed)
            tests[need.images.whole.name] = inputs.statistics(need)
        grid, facts = tests["test"]["grid"].tolist(), dict(kept.accumulator.settings)
        patches = len(pixels) * kept_patches(facts["per_image"], grid)
        return KnnProblem(dataset.classes, pixels.sum(axis=0), patches, tests)

    def solve(self, problem: KnnProblem, settings: SegmentKnnSettings, device: str) -> Result:
        detail = detail_of_test(problem.tests["test"], problem.classes)
        detail["memory_patches"] = problem.memory_patches
        parts = result_parts(problem.tests, problem.train_pixels)
        caveats = absent_classes(problem.train_pixels > 0, problem.classes, "train pixel")
        return Result(parts, detail, caveats, shown=settings.shown(problem.tests["test"]))


# --- the memory


@dataclass(frozen=True, eq=False)
class PatchMemory:
    """K patches of each image: `keys` (N, K, D) of length 1, `shares` (N, K, C) of their pixels.

    Both are temporary; the `pixels` (N, C) of each class in the image, in cells, are not.
    """

    split: Split
    classes: int
    per_image: int

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return a memory without patches."""
        kept = kept_patches(self.per_image, shape[:2])
        return {
            "positions": np.zeros(0, np.int64),
            "keys": np.zeros((0, kept, shape[2]), np.float32),
            "shares": np.zeros((0, kept, self.classes), np.float32),
            "pixels": np.zeros((0, self.classes)),
        }

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add patches of the maps (n, h, w, D) of the images at `positions` (n,)."""
        masks = masks_of(self.split)
        added: dict[str, list[NDArray[Any]]] = {name: [] for name in statistics}
        for position, grid in zip(positions.tolist(), features, strict=True):
            shares = cell_shares(masks.read(position), grid.shape[:2], self.classes)
            shares = shares.reshape(-1, self.classes)
            seed = int(self.split.content[position][:16], 16)
            kept = rare_first(shares, seed)[: self.per_image]
            added["positions"].append(np.array(position))
            added["keys"].append(unit_rows(grid.reshape(len(shares), -1)[kept]))
            added["shares"].append(shares[kept].astype(np.float32))
            added["pixels"].append(shares.sum(axis=0))
        extend_images(statistics, {name: np.stack(values) for name, values in added.items()})

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Join the images of all shards, in their order."""
        return join_images(parts, [name for name in parts[0] if name != "positions"])


def kept_patches(per_image: int, grid: Sequence[int]) -> int:
    """Return the number K of patches that are kept of an image with a map of (h, w) patches."""
    return min(per_image, int(np.prod(grid)))


def rare_first(shares: Doubles, seed: int) -> Ints:
    """Return the patches (P, C) in the order in which they are kept; those without a class last."""
    present = shares > 0
    score = present @ present.sum(axis=0) * np.random.default_rng(seed).random(len(shares))
    return np.lexsort((score, ~present.any(axis=1)))


def unit_rows(rows: Floats) -> Floats:
    """Return rows (n, D) of length 1; a row of zeros stays as it is."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


# --- votes


@dataclass(frozen=True, eq=False)
class PatchVotes:
    """Class shares of patches, from their nearest in a memory."""

    k: int
    temperature: float
    earlier: Earlier

    @functools.cached_property
    def memory(self) -> tuple[Floats, Floats]:
        """Keys (M, D) and shares (M, C)."""
        (memory,) = self.earlier()
        keys, shares = memory["keys"], memory["shares"]
        return keys.reshape(-1, keys.shape[2]), shares.reshape(-1, shares.shape[2])

    def __call__(self, maps: Floats) -> Doubles:
        """Return the shares (1, n, h, w, C) for maps (n, h, w, D)."""
        from bob.numerics.search.neighbours import search

        keys, shares = self.memory
        nearest = search(keys, unit_rows(maps.reshape(-1, maps.shape[3])), self.k)
        cosine = nearest.similarity.astype(np.float64)
        weight = np.exp((cosine - cosine[:, :1]) / self.temperature)
        weight /= weight.sum(axis=1, keepdims=True)
        votes = np.einsum("qk,qkc->qc", weight, shares[nearest.index].astype(np.float64))
        return np.asarray(votes.reshape(1, *maps.shape[:3], -1), np.float64)


def _make_memory(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> PatchMemory:
    return PatchMemory(split, settings["classes"], settings["per_image"])


def _make_counts(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> PixelCounts:
    votes = PatchVotes(settings["k"], settings["temperature"], earlier)
    return counts_of_test(split, settings["classes"], votes, settings.get("windows", 1))


register_accumulator("patch_memory", _make_memory, temporary=("keys", "shares"))
register_accumulator("segmentation_knn_counts", _make_counts)

PROTOCOL = SegmentKnn()
