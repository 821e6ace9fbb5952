"""Segmentation heads where there are many classes, as in ADE20K; needs `samples`.

    python benchmarks/many_classes.py [--classes drawings,kinds] [--train 100,300,900] [--test 200]
        [--epochs 20] [--px 320] [--loss-px 64] [--backbones NAME,NAME]

Scenes are composed as those of `openmoji_scenes`, of 3 to 6 drawings, with other classes:

- `drawings`: 150 drawings, each a class of its own, and the ground. Test scenes show the drawings
  of train scenes at other sizes and places, mirrored or not, on other grounds, and covered by
  others. There are fewer than 150 kinds of which several drawings exist;
- `kinds`: every subcategory of emoji with at least four drawings, such as `animal-bird`, and the
  ground. A quarter of the drawings of each kind are in test scenes alone.

The maps of all scenes are computed once. With the first N train scenes, for each N, the head of the
task `segment` is solved (`lda`), and that of `segment_sgd` trained (`adamw`): cross-entropy of
pixels, with masks whose sides are at most `--loss-px`, where the task reads all 256 px. Printed are
mean IoU with its interval over the test scenes, pixel accuracy, and processor seconds of the head.
Then a line of JSON. Use one thread (OMP_NUM_THREADS=1).
"""

import argparse
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dense import all_maps, solved_head, trained_head

from bob.datasets.assemble import assemble
from bob.datasets.availability import SAMPLE_FILES
from bob.datasets.content.digests import content_digest
from bob.datasets.dataset import Dataset
from bob.datasets.listing import ImageListing
from bob.datasets.masks import Masks
from bob.datasets.readers.scenes import (
    CLASSES,
    TEST_SHARE,
    Composer,
    SceneDrawings,
    place_drawings,
    png_bytes,
    random_state,
    scene_drawings,
)
from bob.datasets.splits import automatic_test
from bob.io.paths import default_cache, in_package
from bob.numerics.arrays import Floats
from bob.protocols.dense import MapSettings, squashed
from bob.registry import load_registry
from bob.specs import Role

DRAWINGS = 150
DRAWINGS_OF_A_KIND = 4
"""Fewest drawings of a kind: three for train scenes and one for test scenes."""


@dataclass(frozen=True, eq=False)
class ClassedDrawings(SceneDrawings):
    """Drawings with classes of their own."""

    classes: tuple[str, ...]
    """The ground is the first."""
    class_of: Mapping[int, int]
    """Position of a drawing → class."""

    def category(self, drawing: int) -> int:
        """Return the class index of a drawing."""
        return self.class_of[drawing]


def main() -> None:
    """Compare both heads for each set of classes, backbone and number of train scenes."""
    arguments = parse()
    importlib.import_module("scipy.linalg")  # no part of a head's time
    for classes in arguments.classes:
        data = scenes(classes, max(arguments.train), arguments.test)
        print(f"{classes}: {len(data.classes)} classes with the ground")
        for name in arguments.backbones:
            compare_heads(name, classes, data, arguments)


def parse() -> argparse.Namespace:
    def words(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return [*map(int, words(text))]

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=words, default=["drawings", "kinds"])
    parser.add_argument("--train", type=numbers, default=[100, 300, 900])
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--epochs", type=numbers, default=[20])
    parser.add_argument("--px", type=int, default=320)
    parser.add_argument("--loss-px", type=int, default=64)
    backbones = ["efficientnet_lite0_in1k", "resnet50thin_opennsfw"]
    parser.add_argument("--backbones", type=words, default=backbones)
    return parser.parse_args()


def compare_heads(name: str, classes: str, data: Dataset, arguments: argparse.Namespace) -> None:
    """Solve and train heads on the maps of the first train scenes."""
    spec = squashed(load_registry().backbones[name], MapSettings(input_px=arguments.px))
    maps, forward = all_maps(spec, data)
    print(f"{name} at {arguments.px} px, grid {maps['train'].shape[1:3]}, ", end="")
    print(f"{arguments.test} test scenes, forward {forward:.0f} processor seconds")
    print("\n| train scenes | head | mean IoU | pixel accuracy | head, s |")
    print("|---:|---|---:|---:|---:|", flush=True)
    rows = []
    for count in arguments.train:
        of_count, maps_of_count = first_scenes(data, maps, count)
        heads = [solved_head("segment", spec, of_count, maps_of_count)]
        for epochs in arguments.epochs:
            changes = {"epochs": epochs, "loss_px": arguments.loss_px}
            heads.append(trained_head(of_count, maps_of_count, changes))
        for row in heads:
            print_row(count, row)
            rows.append({"train": count, **row})
    print(json.dumps({"classes": classes, "backbone": name, "forward": forward, "heads": rows}))


def print_row(count: int, row: Mapping[str, Any]) -> None:
    limits = f"{100 * row['mean_iou']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    accuracy = f"{100 * row['pixel_accuracy']:.1f}"
    line = f"| {count} | {row['head']} | {limits} | {accuracy} | {row['seconds']:.1f} |"
    print(line, flush=True)


def first_scenes(
    data: Dataset, maps: Mapping[str, Floats], count: int
) -> tuple[Dataset, dict[str, Floats]]:
    """Return the dataset and its maps with the first train scenes only."""
    train = data.splits["train"].take(np.arange(count))
    splits: dict[Role, Any] = {"train": train, "test": data.splits["test"]}
    part = Dataset(data.name, data.classes, splits, kind="segmentation")
    return part, {"train": maps["train"][:count], "test": maps["test"]}


def scenes(classes: str, train: int, test: int) -> Dataset:
    """Compose the scenes, and keep them in memory."""
    files = [in_package(package, file) for package, file in SAMPLE_FILES["openmoji_scenes"]]
    svg, table, *_ = (Path(str(file)) for file in files)
    all_drawings = scene_drawings(svg, table, default_cache())
    drawings = {"drawings": single_drawings, "kinds": kinds_of_drawings}[classes](all_drawings)
    composer = Composer(drawings, "colour")
    counts: dict[Role, int] = {"train": train, "test": test}
    names = [(f"{classes} {split}", split, i) for split, n in counts.items() for i in range(n)]
    composed = []
    for name, split, number in names:
        placements = place_drawings(drawings.pools[split], name, number)
        layers = composer.layers(f"{name} {number}", placements)
        composed.append((png_bytes(layers.image), layers.mask))
    content = [content_digest(png) for png, _ in composed]
    listing = ImageListing(
        where=f"scenes of {classes}",
        ids=[f"{name}/{number:04d}" for name, _, number in names],
        content=content,
        read=lambda i: composed[i][0],
        splits=[split for _, split, _ in names],
        classes=drawings.classes,
        masks=Masks(content, lambda i: composed[i][1]),
    )
    return assemble(f"scenes_of_{classes}", listing)


def single_drawings(of: SceneDrawings) -> ClassedDrawings:
    """Return 150 drawings at random, each of which is a class."""
    usable = [i for i in range(len(of.drawings)) if is_usable(of, i)]
    chosen = random_state("many classes").permutation(usable)[:DRAWINGS].tolist()
    classes = ["ground", *(str(of.drawings[i].entry["short_name"]) for i in chosen)]
    pool = [[i] for i in chosen]
    index = {drawing: 1 + c for c, drawing in enumerate(chosen)}
    return classed(of, classes, index, {"train": pool, "test": pool})


def kinds_of_drawings(of: SceneDrawings) -> ClassedDrawings:
    """Return the drawings of all kinds with enough of them; those of test scenes are apart."""
    members: dict[str, list[int]] = {}
    for i in range(len(of.drawings)):
        if is_usable(of, i):
            members.setdefault(str(of.drawings[i].entry["subcategory"]), []).append(i)
    kinds = {kind: of for kind, of in sorted(members.items()) if len(of) >= DRAWINGS_OF_A_KIND}
    index = {i: 1 + c for c, of_kind in enumerate(kinds.values()) for i in of_kind}
    drawings = [*index]
    is_test = automatic_test(
        np.array([*index.values()]), [of.digests[i] for i in drawings], share=TEST_SHARE
    )
    in_test = {i for i, test in zip(drawings, is_test, strict=True) if test}
    pools: dict[Role, Sequence[Sequence[int]]] = {
        "train": [[i for i in of_kind if i not in in_test] for of_kind in kinds.values()],
        "test": [[i for i in of_kind if i in in_test] for of_kind in kinds.values()],
    }
    return classed(of, ["ground", *kinds], index, pools)


def is_usable(of: SceneDrawings, drawing: int) -> bool:
    """Return whether a drawing is of a category that scenes show."""
    return of.drawings[drawing].entry["category"] in CLASSES


def classed(
    of: SceneDrawings,
    classes: Sequence[str],
    class_of: Mapping[int, int],
    pools: Mapping[Role, Sequence[Sequence[int]]],
) -> ClassedDrawings:
    return ClassedDrawings(of.drawings, of.digests, of.read_svg, pools, tuple(classes), class_of)


if __name__ == "__main__":
    main()
