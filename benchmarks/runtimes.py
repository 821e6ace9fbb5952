"""Runtimes by family of architectures: images per second against eager PyTorch, and agreement.

    python benchmarks/runtimes.py [--families TEXT] [--images N] [--rounds N] [--batch N]
                                  [--setup]

Every runtime that is installed embeds the same uint8 crops in memory, in turn; the speed is the
median of the rounds. Beside it stand its ratio to eager PyTorch's, and the largest difference from
eager PyTorch's features, relative to the largest value; a run uses a runtime only up to 1e-5.
Weights are random where no package brings them: speed does not depend on them. An ONNX file runs in
ONNX Runtime where the others run in PyTorch, so that its column `eager` is ONNX Runtime's. Not
tried: torch.compile, which needs a compiler and minutes for each family. `--families` takes those
that contain a text. `--setup` instead prints the processor seconds in which OpenVINO is prepared:
in all, compiling alone, and reading what it has compiled from its cache on the disk (CACHE_DIR),
which a run does not use. The last line is JSON.
"""

import argparse
import json
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from extraction_peers import spec_of
from pairs import interleave, machine
from passes import load_folded
from safetensors.torch import save_file

from bob.backbones.backbone import Backbone
from bob.extraction.runtimes.candidates import usable_candidates
from bob.extraction.runtimes.eager import Eager
from bob.extraction.runtimes.openvino import OpenVino
from bob.extraction.runtimes.runtime import largest_difference
from bob.specs import BackboneSpec

RUNTIMES = ("eager", "openvino", "onnxruntime")
HALVES = [0.5, 0.5, 0.5]
PREPROCESSING = {
    "input_px": 224,
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": HALVES,
    "std": HALVES,
}
VIT_S = {"hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 12, "image_size": 224}
Entry = Callable[[Path], BackboneSpec]
"""Makes the entry of a backbone, with files in a folder."""


def timm_model(name: str) -> Entry:
    """A registered backbone, or an architecture of timm with random weights."""
    return lambda folder: spec_of(name)


def open_clip_model(architecture: str) -> Entry:
    """A model of open_clip with random weights."""

    def entry(folder: Path) -> BackboneSpec:
        import open_clip

        file = folder / f"{architecture}.safetensors"
        save_file(open_clip.create_model(architecture).state_dict(), file)
        return _entry(file, "open_clip", architecture)

    return entry


def transformers_model(kind: str, **options: int) -> Entry:
    """A model of transformers with random weights."""

    def entry(folder: Path) -> BackboneSpec:
        from transformers import AutoConfig, AutoModel

        AutoModel.from_config(AutoConfig.for_model(kind, **options)).save_pretrained(folder / kind)
        further = {"options": options, "output": "cls", "preprocessing": PREPROCESSING}
        return _entry(folder / kind / "model.safetensors", "transformers", kind, **further)

    return entry


def _entry(file: Path, loader: str, architecture: str, **further: Any) -> BackboneSpec:
    values = {"name": architecture, "family": "supervised", "weights": {"file": str(file)}}
    return BackboneSpec.model_validate(
        {**values, "loader": loader, "architecture": architecture, **further}
    )


FAMILIES: dict[str, Entry] = {
    "EfficientNet-Lite0 (timm)": timm_model("efficientnet_lite0_in1k"),
    "MobileNetV3-L (timm)": timm_model("mobilenetv3_large_100"),
    "RegNetY-400MF (timm)": timm_model("regnety_004"),
    "ResNet-50 (timm)": timm_model("resnet50"),
    "ConvNeXt-T (timm)": timm_model("convnext_tiny"),
    "ViT-S/16 (timm)": timm_model("vit_small_patch16_224"),
    "Swin-T (timm)": timm_model("swin_tiny_patch4_window7_224"),
    "CLIP RN50 (open_clip)": open_clip_model("RN50"),
    "CLIP ViT-B/32 (open_clip)": open_clip_model("ViT-B-32"),
    "ViT-S/16 (transformers)": transformers_model(
        "vit", patch_size=16, intermediate_size=1536, **VIT_S
    ),
    "DINOv2 ViT-S/14 (transformers)": transformers_model("dinov2", patch_size=14, **VIT_S),
    "thin ResNet-50 (ONNX file)": timm_model("resnet50thin_opennsfw"),
}


def embedders(backbone: Backbone, crops: torch.Tensor, batch: int) -> dict[str, Callable[[], Any]]:
    """Return a function per runtime that can run the backbone, which embeds the crops."""
    outputs = [backbone.spec.output]
    runtimes: dict[str, Any] = {"eager": Eager(backbone, batch)}
    for candidate in usable_candidates("float32", "cpu"):
        fits = candidate.runs_onnx_files or backbone.spec.loader != "onnx"
        if fits and candidate.name in RUNTIMES:
            try:
                runtimes[candidate.name] = candidate.make(backbone, outputs, batch)
            except Exception as error:  # a graph that it cannot run
                print(f"  {candidate.name}: {type(error).__name__}: {error}"[:200])
    return {
        name: lambda runtime=runtime: runtime.embed(crops, outputs)
        for name, runtime in runtimes.items()
    }


def measure(
    backbone: Backbone, images: int, rounds: int, batch: int
) -> dict[str, dict[str, float]]:
    """Return images per second, ratio to eager PyTorch and difference from it, by runtime."""
    shape = (images, 3, backbone.geometry.height_px, backbone.geometry.width_px)
    noise = torch.Generator().manual_seed(0)
    crops = torch.randint(256, shape, dtype=torch.uint8, generator=noise)
    ways = embedders(backbone, crops, batch)
    for way in ways.values():
        way()
    seconds, features = interleave(ways, rounds)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        name: {
            "images_per_s": images / median,
            "ratio": medians["eager"] / median,
            "difference": largest_difference(features[name], features["eager"]),
        }
        for name, median in medians.items()
    }


def setup(backbone: Backbone, batch: int, folder: Path) -> dict[str, float]:
    """Return the processor seconds of preparing OpenVINO, and the size of what it caches."""
    from openvino import Core

    def seconds(work: Callable[[], Any]) -> float:
        start = time.process_time()
        work()
        return round(time.process_time() - start, 2)

    made = []
    whole = seconds(lambda: made.append(OpenVino(backbone, [backbone.spec.output], batch)))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "CACHE_DIR": str(folder)}

    def from_cache() -> Any:
        return Core().compile_model(made[0].graph, "CPU", settings)

    from_cache()  # writes it
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {
        "all": whole,
        "compiling": seconds(lambda: made[0].resized(batch)),
        "from the disk": seconds(from_cache),
        "MiB on the disk": round(size / 2**20, 1),
    }


def cell(measured: dict[str, float] | None) -> str:
    """Return the text of a runtime's cell."""
    if measured is None:
        return "–"
    return "{images_per_s:.1f} images/s, {ratio:.2f}x, {difference:.0e}".format(**measured)


def main() -> None:
    """Print a row per family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default="")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--setup", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print(machine())
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, entry in FAMILIES.items():
            if arguments.families in name:
                backbone = load_folded(entry(Path(folder)))
                if arguments.setup:
                    with tempfile.TemporaryDirectory() as cache:
                        rows[name] = setup(backbone, arguments.batch, Path(cache))
                    print(f"{name:30} | {rows[name]}", flush=True)
                    continue
                row = measure(backbone, arguments.images, arguments.rounds, arguments.batch)
                cells = " | ".join(f"{cell(row.get(runtime)):36}" for runtime in RUNTIMES)
                print(f"{name:30} | {cells}", flush=True)
                rows[name] = row
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
