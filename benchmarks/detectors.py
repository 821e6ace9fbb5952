"""Detection heads on the same maps: solved from sums, and trained; needs `samples`.

    python benchmarks/detectors.py [--quick] [--backbones NAME,NAME] [--train N] [--test N]
        [--px 448]

For each backbone and its random twin (the architecture at its random initialisation), the maps of
N train and N test scenes of `openmoji_scenes` are computed once, in eager PyTorch or by ONNX
Runtime, and held in memory for both tasks with their shipped settings: `detect`, by its own
accumulators, and `detect_fcos`. The twin of an ONNX file is the same graph with convolutions as He
et al. draw them (arXiv:1502.01852), and with scales of 1 and shifts of 0, as batch normalisation
begins.

Printed for each: AP with its interval over test images, AP50, and processor seconds of each head
and of the forward passes. Then how many pairs of backbones both heads order alike, how many of the
pairs that each of them tells apart (intervals that do not meet), and a line of JSON. Use one thread
(OMP_NUM_THREADS=1). `--quick` takes 12 and 8 scenes at 224 px and one backbone, to see that the
script runs.
"""

import argparse
import functools
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from dense import REAL, all_maps, scenes, test_statistics

from bob.datasets.dataset import Dataset
from bob.features.shard import Effort
from bob.features.store import Features
from bob.metrics.boxes import box_ap, box_ap_50
from bob.metrics.intervals import interval
from bob.numerics.arrays import Floats
from bob.outcomes import BoxMatches
from bob.protocols.box_statistics import PREDICTORS, PredictorMatches
from bob.protocols.dense import MapSettings, squashed
from bob.protocols.detect_fcos import (
    PROTOCOL,
    DetectFcosProblem,
    DetectFcosSettings,
    MapsWithBoxes,
)
from bob.protocols.stored_maps import StoredMaps
from bob.registry import load_registry
from bob.specs import BackboneSpec

QUICK = {"backbones": "efficientnet_lite0_in1k", "train": 12, "test": 8, "px": 224}
TASKS = ("detect", "detect_fcos")
IMAGE_AXES = 4


def main() -> None:
    """Compare the heads on each backbone and its twin."""
    arguments = parse()
    registry = load_registry()
    data = scenes(arguments)
    print(f"{arguments.train} train and {arguments.test} test images at {arguments.px} px")
    print("| backbone | forward, s | `detect` AP | AP50 | s | `detect_fcos` AP | AP50 | s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    rows = []
    for name in arguments.backbones.split(","):
        for backbone in (registry.backbones[name], twin_of(registry.backbones[name])):
            rows.append(row_of(squashed(backbone, MapSettings(input_px=arguments.px)), data))
            print(text_of(rows[-1]), flush=True)
    pairs = list(combinations(rows, 2))
    alike = sum(ordered_alike(*pair) for pair in pairs)
    print(f"both heads order {alike} of {len(pairs)} pairs of backbones alike")
    clear = [pair for pair in pairs if all(apart(*pair, task) for task in TASKS)]
    agreed = sum(ordered_alike(*pair) for pair in clear)
    print(f"of {len(clear)} pairs that both tell apart, {agreed}")
    facts = {name: vars(arguments)[name] for name in ("train", "test", "px")}
    print(
        json.dumps(
            {
                **facts,
                "rows": rows,
                "pairs": len(pairs),
                "pairs_alike": alike,
                "clear": len(clear),
                "clear_alike": agreed,
            }
        )
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--backbones", default=REAL)
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--px", type=int, default=448)
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    return arguments


def twin_of(backbone: BackboneSpec) -> BackboneSpec:
    """Return the architecture at its random initialisation."""
    name = f"{backbone.name.removesuffix('_in1k')}_random"
    values = backbone.model_dump(exclude={"name", "weights", "pretraining"}, exclude_unset=True)
    weights: dict[str, Any] = {"random": 0}
    if backbone.loader == "onnx":
        path = Path(temporary_folder().name) / f"{name}.onnx"
        untrained_graph(backbone, path)
        weights = {"file": str(path)}
    return BackboneSpec.model_validate({**values, "name": name, "weights": weights})


@functools.cache
def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is removed when the process ends."""
    return tempfile.TemporaryDirectory()


def untrained_graph(backbone: BackboneSpec, path: Path) -> None:
    """Write the graph of an ONNX file, with random convolutions and normalisation that is none."""
    import onnx
    from onnx.numpy_helper import from_array, to_array

    assert backbone.weights is not None
    assert backbone.weights.package and backbone.weights.file
    model = onnx.load(distribution(backbone.weights.package).locate_file(backbone.weights.file))
    reader = {name: node.op_type for node in model.graph.node for name in node.input}
    rng = np.random.default_rng(0)
    for constant in model.graph.initializer:
        values = to_array(constant)
        if values.ndim < IMAGE_AXES:  # of the classifier
            continue
        if reader[constant.name] == "Conv":
            scale = np.sqrt(2 / np.prod(values.shape[1:]))
            values = scale * rng.normal(size=values.shape)
        else:
            values = np.full(values.shape, float(reader[constant.name] == "Mul"))
        constant.CopyFrom(from_array(values.astype(np.float32), constant.name))
    onnx.save(model, path)


def row_of(spec: BackboneSpec, data: Dataset) -> dict[str, Any]:
    """Return the scores of both heads on the maps of a backbone, and their processor seconds."""
    maps, forward = all_maps(spec, data)
    statistics, solving = test_statistics("detect", spec, data, maps)
    matches = PredictorMatches(statistics)
    begin = time.process_time()
    trained = trained_outcome(data, maps)
    training = time.process_time() - begin
    return {
        "backbone": spec.name,
        "grid": list(maps["train"].shape[1:3]),
        "forward_seconds": forward,
        "ceiling": box_ap(matches.of(PREDICTORS.index("ceiling"))),
        "detect": {**scores_of(matches.of(0)), "seconds": solving},
        "detect_fcos": {**scores_of(trained), "seconds": training},
    }


def trained_outcome(data: Dataset, maps: Mapping[str, Floats]) -> BoxMatches:
    """Train the head of `detect_fcos` at seed 0, and return its matches on test images."""
    settings = load_registry().tasks["detect_fcos"].settings
    assert isinstance(settings, DetectFcosSettings)
    images = {name: with_boxes(data, name, of) for name, of in maps.items()}
    problem = DetectFcosProblem(data.classes, images.pop("train"), images, 0)
    outcome = PROTOCOL.solve(problem, settings, "cpu").outcome
    assert isinstance(outcome, BoxMatches)
    return outcome


def with_boxes(data: Dataset, name: str, maps: Floats) -> MapsWithBoxes:
    """Return the maps of a split with the boxes of its images."""
    features = Features([maps], np.arange(len(maps)), {}, Effort())
    return MapsWithBoxes.of(StoredMaps(features, data.splits[name]))  # type: ignore[index]


def scores_of(outcome: BoxMatches) -> dict[str, Any]:
    value, low, high, _ = interval("box_ap", outcome, 0)
    return {"box_ap": value, "low": low, "high": high, "box_ap_50": box_ap_50(outcome)}


def text_of(row: Mapping[str, Any]) -> str:
    """Return a row of the table, in percent."""
    cells = [f"`{row['backbone']}`", f"{row['forward_seconds']:.0f}"]
    for task in TASKS:
        of = row[task]
        limits = f"[{100 * of['low']:.1f}, {100 * of['high']:.1f}]"
        cells += [f"{100 * of['box_ap']:.1f} {limits}", f"{100 * of['box_ap_50']:.1f}"]
        cells.append(f"{of['seconds']:.1f}")
    return f"| {' | '.join(cells)} |"


def ordered_alike(*pair: Mapping[str, Any]) -> bool:
    """Return whether both heads prefer the same of two backbones."""
    one, other = pair
    gaps: Sequence[float] = [one[task]["box_ap"] - other[task]["box_ap"] for task in TASKS]
    return bool(np.sign(gaps[0]) == np.sign(gaps[1]))


def apart(one: Mapping[str, Any], other: Mapping[str, Any], task: str) -> bool:
    """Return whether the intervals of two backbones do not meet."""
    return bool(one[task]["low"] > other[task]["high"] or other[task]["low"] > one[task]["high"])


if __name__ == "__main__":
    main()
