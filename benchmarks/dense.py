"""Segmentation heads on the same maps: solved from sums, and trained as papers do; needs `samples`.

    python benchmarks/dense.py [--train N] [--test N] [--epochs 5,20] [--px 448]
        [--backbones NAME,NAME]

The maps of N train and N test scenes of `openmoji_scenes` are computed once, in eager PyTorch, and
held in memory for all heads:

- `lda` and `ridge`: the heads of the tasks `segment` and `segment_ridge`, by their own
  accumulators: sums over fitted images, the strength chosen on a fifth of the train images, refit
  on all of them, and all that these tasks compute of test images. Their seconds are the mean of two
  measurements, before and after the next heads;
- `adamw`: the head of the task `segment_sgd`, which is DINOv3's, for as many epochs, without
  augmentation. Papers augment, and therefore run the backbone again in each epoch: `with forwards`
  counts these. Each test image passes once in either case, so that no head can make E epochs over
  400 train and 100 test images more than (400 E + 100) / 500 times as cheap, its own time apart.

Printed for each backbone and head: mean IoU with its interval over images, pixel accuracy,
processor seconds of the head, and with the forward passes that it needs, and their ratio to `lda`.
Then a line of JSON. Use one thread (OMP_NUM_THREADS=1). The four backbones take 25 minutes.
"""

import argparse
import importlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from bob.backbones.card import load_backbone
from bob.datasets.dataset import Dataset
from bob.datasets.masks import Masks
from bob.datasets.open import open_dataset
from bob.features.shard import Arrays, Effort
from bob.features.store import Features
from bob.io.paths import default_cache
from bob.metrics.intervals import interval
from bob.numerics.arrays import Floats
from bob.outcomes import SegmentationCounts
from bob.protocols import StatisticsNeed, protocol_named
from bob.protocols.box_statistics import boxes_of
from bob.protocols.dense import MapSettings, squashed
from bob.protocols.segment_sgd import PROTOCOL as SEGMENT_SGD
from bob.protocols.segment_sgd import SegmentSgdProblem, SegmentSgdSettings
from bob.protocols.segmentation_statistics import outcome_of
from bob.protocols.stored_maps import StoredMaps
from bob.registry import load_registry
from bob.specs import BackboneSpec

BATCH, SEED = 16, 0
SOLVED = {"segment": "lda", "segment_ridge": "ridge"}
"""Task → its name in the table."""
REAL = ",".join([f"efficientnet_lite{size}_in1k" for size in range(3)] + ["resnet50thin_opennsfw"])
"""The networks of the group `samples` that have learnt from images."""


def main() -> None:
    """Compare heads of segmentation on each backbone."""
    arguments = parse()
    registry = load_registry()
    data = scenes(arguments)
    importlib.import_module("scipy.linalg")  # no part of a head's time
    for name in arguments.backbones.split(","):
        compare_heads(registry.backbones[name], arguments, data)


def compare_heads(backbone: BackboneSpec, arguments: argparse.Namespace, data: Dataset) -> None:
    """Solve and train heads of segmentation on the same maps."""
    spec = squashed(backbone, MapSettings(input_px=arguments.px))
    maps, forward = all_maps(spec, data)
    images = sum(map(len, maps.values()))
    print(f"{backbone.name} at {arguments.px} px, grid {maps['train'].shape[1:3]}: ", end="")
    print(f"{arguments.train} train and {arguments.test} test images, ", end="")
    print(f"forward {forward:.1f} processor seconds, {1000 * forward / images:.0f} ms an image")
    heads = [(name, {"fit_on": of}) for of in arguments.fit_on for name in SOLVED]
    rows = [solved_head(name, spec, data, maps, changes) for name, changes in heads]
    trained = [trained_head(data, maps, {"epochs": epochs}) for epochs in arguments.epochs]
    for row, (name, changes) in zip(rows, heads, strict=True):
        again = solved_head(name, spec, data, maps, changes)
        row["seconds"] = (row["seconds"] + again["seconds"]) / 2
        row["with_forwards"] = row["seconds"] + forward
    of_train = forward * len(maps["train"]) / images
    for row, epochs in zip(trained, arguments.epochs, strict=True):
        row["with_forwards"] = row["seconds"] + forward + (epochs - 1) * of_train
    report(backbone.name, forward, rows + trained)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument(
        "--epochs",
        type=lambda text: [int(n) for n in text.split(",") if n],
        default=[20],
        help='of the trained heads; "" trains none',
    )
    parser.add_argument("--px", type=int, default=448)
    parser.add_argument("--backbones", default=REAL)
    parser.add_argument(
        "--fit-on",
        type=lambda text: text.split(","),
        default=["patches"],
        help="patches,pixels solves each head of sums over both, as the setting `fit_on`",
    )
    parser.add_argument("--cache", type=Path)
    return parser.parse_args()


def scenes(arguments: argparse.Namespace) -> Dataset:
    """Return the first train and test images of the composed scenes, as many as the flags say."""
    entry = load_registry().datasets["openmoji_scenes"].model_copy(update={"shifts": {}})
    data = open_dataset(entry, arguments.cache or default_cache())
    splits = {
        name: data.splits[name].take(np.arange(min(n, len(data.splits[name]))))  # type: ignore[index]
        for name, n in (("train", arguments.train), ("test", arguments.test))
    }
    return Dataset(data.name, data.classes, splits, kind="segmentation")  # type: ignore[arg-type]


def all_maps(spec: BackboneSpec, data: Dataset) -> tuple[dict[str, Floats], float]:
    """Return the maps (N, h, w, D) of each split, and the seconds of their forward passes."""
    backbone = load_backbone(spec, "cpu", "float32", offline=True)
    seconds, maps = 0.0, {}
    for name, split in data.splits.items():
        found = []
        for start in range(0, len(split), BATCH):
            at = range(start, min(len(split), start + BATCH))
            crops = torch.stack([backbone.geometry.crop(split.decode(i)) for i in at])
            begin = time.process_time()
            found.append(backbone.embed(crops, [spec.output])[spec.output])
            seconds += time.process_time() - begin
            for i in at:  # decoded before heads are timed
                masks_of(data, name).read(i)
                if split.boxes is not None:
                    boxes_of(split).read(i)
        maps[str(name)] = np.concatenate(found)
    return maps, seconds


def masks_of(data: Dataset, name: str) -> Masks:
    masks = data.splits[name].masks  # type: ignore[index]
    assert masks is not None
    return masks


def solved_head(
    task: str,
    spec: BackboneSpec,
    data: Dataset,
    maps: dict[str, Floats],
    changes: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Solve a task of segmentation from maps, with changes of its settings; return its scores."""
    statistics, seconds = test_statistics(task, spec, data, maps, changes)
    name = f"{SOLVED[task]}, pixels" if changes.get("fit_on") == "pixels" else SOLVED[task]
    return row_of(name, outcome_of(statistics["counts"][:, 0]), seconds)


def test_statistics(
    task: str,
    spec: BackboneSpec,
    data: Dataset,
    maps: dict[str, Floats],
    changes: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Arrays, float]:
    """Return the statistics of the test images that a task's protocol sums, and its seconds."""
    entry = load_registry().tasks[task]
    protocol, settings = protocol_named(entry.protocol), entry.settings.model_copy(update=changes)
    base = spec.variant()
    found: dict[StatisticsNeed, Arrays] = {}
    rows = {digest: i for i, digest in enumerate(data.splits["train"].content)}
    begin = time.process_time()
    for need in protocol.needs(settings, data, base):
        assert isinstance(need, StatisticsNeed)
        split = need.images.open(data)
        at = range(len(split))
        places = [rows[split.content[i]] for i in at] if need.images.split == "train" else at
        after = need.after
        accumulator = need.accumulator.create(split, lambda after=after: [found[n] for n in after])
        of_split = maps[need.images.split]
        statistics = accumulator.start(of_split.shape[1:])
        for start in range(0, len(split), 64):
            block = np.arange(start, min(len(split), start + 64))
            accumulator.update(statistics, block, of_split[[places[i] for i in block]])
        found[need] = accumulator.merge([statistics])
    return found[need], time.process_time() - begin


def trained_head(
    data: Dataset, maps: dict[str, Floats], changes: Mapping[str, int]
) -> dict[str, Any]:
    """Train the head of the task `segment_sgd` on maps, and return its scores.

    `changes` replace settings of the task, such as its epochs.
    """
    settings = load_registry().tasks["segment_sgd"].settings
    assert isinstance(settings, SegmentSgdSettings)
    settings = settings.model_copy(update=dict(changes))
    images = {
        name: StoredMaps(Features([of], np.arange(len(of)), {}, Effort()), data.splits[name])  # type: ignore[index]
        for name, of in maps.items()
    }
    problem = SegmentSgdProblem(data.classes, images["train"], {"test": images["test"]}, SEED)
    begin = time.process_time()
    result = SEGMENT_SGD.solve(problem, settings, "cpu")
    seconds = time.process_time() - begin
    return row_of(f"adamw, {settings.epochs} epochs", result.outcome, seconds)


def row_of(name: str, outcome: SegmentationCounts, seconds: float) -> dict[str, Any]:
    """Return the scores of a head."""
    value, low, high, _ = interval("mean_iou", outcome, 0)
    accuracy = interval("pixel_accuracy", outcome, 0)[0]
    scores = {"mean_iou": value, "low": low, "high": high, "pixel_accuracy": accuracy}
    return {"head": name, **scores, "seconds": seconds}


def report(backbone: str, forward: float, rows: list[dict[str, Any]]) -> None:
    ours = rows[0]
    print(f"`lda` takes {100 * ours['seconds'] / forward:.1f} % of the forward passes' time")
    print("\n| head | mean IoU | pixel accuracy | head, s | ratio | with forwards, s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        limits = f"{100 * row['mean_iou']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        print(
            f"| {row['head']} | {limits} | {100 * row['pixel_accuracy']:.1f} | "
            f"{row['seconds']:.1f} | {row['seconds'] / ours['seconds']:.1f} | "
            f"{row['with_forwards']:.0f} | {row['with_forwards'] / ours['with_forwards']:.1f} |"
        )
    print(json.dumps({"backbone": backbone, "forward": forward, "heads": rows}), flush=True)


if __name__ == "__main__":
    main()
