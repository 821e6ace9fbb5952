"""Top-1 of transparent images on white, on black and with alpha ignored; see decision 010.

    python benchmarks/alpha.py FOLDER

writes transparent versions of the sample datasets below FOLDER and prints a line per case:
drawings of openmoji without a background, and photographs of textiles and elpv that are opaque
inside an ellipse and transparent outside, over random colours or over their own background.
"""

import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import resvg_py
from PIL import Image

import bob
from bob.datasets.dataset import Dataset, Split
from bob.datasets.open import open_dataset
from bob.registry import load_registry

BACKBONE = "efficientnet_lite0_in1k"
SIDE_PX = 224


def transparent_drawing(split: Split, i: int, _: np.random.Generator) -> bytes:
    """Return an emoji as PNG without a background."""
    render = resvg_py.svg_to_bytes

    def without_background(**options: Any) -> Any:
        return render(**{name: value for name, value in options.items() if name != "background"})

    with patch("resvg_py.svg_to_bytes", without_background):
        return split.read(i)


def cut_out(split: Split, i: int, rng: np.random.Generator, *, random: bool) -> Image.Image:
    """Return a photograph that is opaque inside an ellipse."""
    pixels = np.asarray(split.decode(i).resize((SIDE_PX, SIDE_PX))).copy()
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    centre, radius = rng.uniform(90, 134, 2), rng.uniform(70, 100, 2)
    inside = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 <= 1
    if random:
        pixels[~inside] = rng.integers(0, 256, (int((~inside).sum()), 3))
    return Image.fromarray(np.dstack([pixels, np.where(inside, 255, 0).astype(np.uint8)]))


def write(folder: Path, dataset: Dataset, case: str, sizes: dict[str, int]) -> None:
    """Write some images of each split into class folders."""
    rng = np.random.default_rng(0 if case == "drawings" else 1)
    for role, split in dataset.splits.items():
        for i in rng.permutation(len(split))[: sizes[role]].tolist():
            label = dataset.classes[split.y[i]].replace("/", "-")
            path = folder / role / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if case == "drawings":
                path.write_bytes(transparent_drawing(split, i, rng))
            else:
                cut_out(split, i, rng, random=case == "colours").save(path, compress_level=1)


def main(root: Path) -> None:
    registry = load_registry([], [])
    cases = [("openmoji", "drawings")]
    cases += [(name, case) for name in ("textiles", "elpv") for case in ("colours", "background")]
    for name, case in cases:
        folder = root / f"{name}_{case}"
        spec = registry.datasets[name]
        dataset = open_dataset(spec, root / "cache", entries=registry.datasets)
        sizes = {"train": 1200, "test": 600} if case == "drawings" else {"train": 800, "test": 400}
        write(folder, dataset, case, sizes)
        for alpha in ("white", "black", "drop"):
            scores = bob.run(
                BACKBONE,
                "knn,ridge",
                data=folder,
                alpha=alpha,
                results=root / f"results_{alpha}",
                cache=root / "cache",
            )
            for row in scores[scores.metric == "top1"].itertuples():
                print(
                    f"{name} {case} {alpha} {row.task} {100 * row.value:.1f} "
                    f"[{100 * row.low:.1f}, {100 * row.high:.1f}] n = {row.n}"
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
