"""Cropping an RGB image in memory on one core: our kernels against PIL and torchvision.

    python benchmarks/crops.py [--quick]

`ours` is `bob/backbones/pixels/kernels.py`; torchvision's 8-bit kernels are those of `fast`. Every
size of image is combined with every geometry; PIL's pixels and ours are compared bit for bit.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch
from pairs import finish, interleave, machine, table
from PIL import Image

from bob.backbones.pixels.geometry import Geometry, region_of

SIZES = ((32, 32), (500, 400), (375, 500), (1024, 683), (4000, 3000))
GEOMETRIES = (
    Geometry(224, 224, 0.875, "center", "bicubic"),
    Geometry(224, 224, 1.0, "squash", "bilinear"),
    Geometry(518, 518, 1.0, "center", "bicubic"),
)
CALLS = 4
"""Number of crops that are timed together."""


def compare(size: tuple[int, int], geometry: Geometry, rounds: int) -> dict[str, float]:
    """Return the ratios of the seconds of PIL and of torchvision to ours."""
    image = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    )
    region, quick = region_of(geometry, size), replace(geometry, fast=True)
    assert region and np.array_equal(region.by_pil(image), region.by_kernels(image))
    title = (
        f"{size[0]} x {size[1]} to {geometry.height_px}, {geometry.crop_mode}, "
        f"{geometry.interpolation}"
    )
    print(f"\n{title}: {CALLS} crops")
    ways = {
        "ours": region.by_kernels,
        "PIL": region.by_pil,
        "torchvision's 8-bit kernels": quick.crop,
    }
    seconds, _ = interleave(
        {name: lambda way=way: [way(image) for _ in range(CALLS)] for name, way in ways.items()},
        rounds,
    )
    ratios = table(
        seconds,
        "ours",
        {name: f"{min(times) / CALLS * 1e3:.2f} ms a crop" for name, times in seconds.items()},
    )
    return {f"{title}: {name}": ratio for name, ratio in ratios.items() if name != "ours"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the first geometry, three rounds")
    quick = parser.parse_args().quick
    print(machine())
    torch.set_num_threads(1)
    ratios: dict[str, float] = {}
    for geometry in GEOMETRIES[:1] if quick else GEOMETRIES:
        for size in SIZES:
            ratios |= compare(size, geometry, 3 if quick else 20)
    finish(ratios)


if __name__ == "__main__":
    main()
