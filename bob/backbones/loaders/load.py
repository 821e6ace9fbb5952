"""The loaders by name: each builds an architecture (`outline`) and fills it (`load`)."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import torch

from bob.backbones.backbone import Loaded
from bob.backbones.loaders import baselines, checkpoint, onnx, open_clip, python, timm, transformers
from bob.backbones.weights.locate import find_weights
from bob.errors import BackboneError, BobError
from bob.specs import BackboneSpec

LOADERS: Mapping[str, ModuleType] = {
    "timm": timm,
    "open_clip": open_clip,
    "checkpoint": checkpoint,
    "transformers": transformers,
    "onnx": onnx,
    "python": python,
    "baseline": baselines,
}
LIBRARIES = (
    "timm",
    "open_clip_torch",
    "torchvision",
    "transformers",
    "tokenizers",
    "onnx",
    "onnxruntime",
)
"""Whose versions may change a forward pass, or whether there is one."""


def load(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """The module with its weights; UnavailableError where they cannot be had, BackboneError where they do not fit or do not load."""
    file = find_weights(spec, offline=offline)
    try:
        loaded: Loaded = LOADERS[spec.loader].load(spec, file, offline=offline)
    except BobError:
        raise
    except Exception as error:  # a library's own errors, such as an option that it does not know, and those of a user's function
        raise BackboneError(
            f"backbone {spec.name!r}: does not load: {type(error).__name__}: {error}"
        ) from error
    return loaded


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """The module without its weights, on the meta device: shapes, parameters and preprocessing cost neither memory nor a download."""
    with torch.device("meta"):
        loaded: Loaded = LOADERS[spec.loader].outline(spec, offline=offline)
    loaded.module.to("meta").eval()
    return loaded


def library_versions() -> dict[str, str]:
    found = {"torch": torch.__version__, "baselines": baselines.VERSION}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
