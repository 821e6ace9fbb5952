"""A Python program that predicts with a kept probe, using timm, safetensors and Pillow alone."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from bob.backbones.backbone import Backbone
from bob.backbones.loaders.timm_features import TimmFeatures
from bob.errors import BackboneError, ConfigError
from bob.heads.saved_probe import SavedProbe
from bob.io.files import write_atomically
from bob.specs import DEFAULT
from bob.specs.backbone import HUB_PREFIX

TEMPLATE = '''\
"""Predict the classes of images: python {program} IMAGE ... (needs timm, safetensors, Pillow)."""
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

CLASSES = {classes!r}
TEMPERATURE = {temperature!r}
tensors = load_file(Path(__file__).with_name({weights!r}))
model = timm.create_model({architecture!r}, num_classes=0{options}).eval()
model.load_state_dict({{k.removeprefix("b."): v for k, v in tensors.items() if k[:2] == "b."}})
transform = timm.data.create_transform({size!r}, {transform})


def predict(path):
    """Return the probabilities of all classes."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode[0] == "I":  # grey of 16 bits, which convert() would clip
        image = Image.fromarray(np.uint8(np.rint(np.asarray(image).clip(0, 65535) / 257)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, {alpha!r}), image)
    with torch.inference_mode():
        row = model(transform(image.convert("RGB"))[None]).double()
    return ((row @ tensors["weight"].T + tensors["bias"]) / TEMPERATURE).softmax(1)[0]


if __name__ == "__main__":
    for path in sys.argv[1:]:
        p = predict(path)
        print(path, CLASSES[int(p.argmax())], f"{{float(p.max()):.4f}}", sep="\\t")
'''


def weights_beside(path: Path) -> Path:
    """Return the file that holds the weights of a program."""
    return path.with_suffix(".safetensors")


def export_python(probe: SavedProbe, backbone: Backbone, path: Path) -> list[Path]:
    """Write the program, and beside it the weights of backbone and probe; return both paths.

    ConfigError where timm cannot build the backbone by its name, or reads another output than its
    own pooled features.
    """
    facts, spec = probe.facts, backbone.spec
    model = backbone.module
    is_named = not spec.architecture.startswith(HUB_PREFIX)
    if not (isinstance(model, TimmFeatures) and spec.output == DEFAULT and is_named):
        raise ConfigError(
            f"backbone {spec.name!r} ({spec.loader}, output {spec.output}): a program for timm "
            "reads the pooled features of an architecture of timm. Export it with --onnx."
        )
    if facts.preprocessing == "fast" or facts.alpha == "drop" or backbone.geometry.resize:
        raise ConfigError(
            "a program for timm preprocesses images as timm does: with --preprocessing exact and "
            "--alpha white or black. Fit the probe with these, or export it with --onnx."
        )
    options = _options(backbone)
    weights = weights_beside(path)
    state = model.model.state_dict()
    tensors = {f"b.{name}": tensor.contiguous().clone() for name, tensor in state.items()}
    tensors["weight"], tensors["bias"] = torch.tensor(probe.weight), torch.tensor(probe.bias)
    write_atomically(weights, save(tensors))
    geometry = backbone.geometry
    transform = (
        f"interpolation={geometry.interpolation!r}, crop_pct={geometry.crop_pct!r}, "
        f"crop_mode={geometry.crop_mode!r}, mean={tuple(facts.normalisation['mean'])!r}, "
        f"std={tuple(facts.normalisation['std'])!r}"
    )
    text = TEMPLATE.format(
        program=path.name,
        classes=list(facts.classes),
        temperature=facts.temperature or 1.0,
        weights=weights.name,
        architecture=spec.architecture,
        options="".join(f", {name}={value!r}" for name, value in options.items()),
        size=(3, geometry.height_px, geometry.width_px),
        transform=transform,
        alpha=facts.alpha,
    )
    write_atomically(path, text.encode())
    return [path, weights]


def _options(backbone: Backbone) -> dict[str, Any]:
    """Return the arguments with which timm alone builds the backbone.

    BackboneError where no arguments give a model that takes its tensors and has its features.
    """
    import timm

    spec = backbone.spec
    crops = torch.zeros(1, 3, backbone.geometry.height_px, backbone.geometry.width_px)
    pixels = backbone.normalisation.apply(crops)
    module: Any = backbone.module
    sizes = [{"img_size": spec.preprocessing.input_px}] if spec.preprocessing.input_px else []
    for size in (*sizes, {}):
        options = {**spec.options, **size}
        try:
            model = timm.create_model(spec.architecture, num_classes=0, **options).eval()
            model.load_state_dict(module.model.state_dict())
            with torch.inference_mode():
                difference = (model(pixels) - module.model(pixels)).abs().max()
        except (TypeError, RuntimeError):
            continue
        if difference <= 1e-5:
            return options
    raise BackboneError(
        f"backbone {spec.name!r}: timm {timm.__version__} does not build this network by its name "
        f"{spec.architecture!r} alone. Export it with --onnx."
    )
