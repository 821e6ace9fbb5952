"""The loaders by name: each builds an architecture (`outline`) and fills it (`load`)."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from bob.backbones.backbone import Loaded
from bob.backbones.loaders import baselines, checkpoint, onnx, open_clip, python, timm, transformers
from bob.backbones.weights.locate import find_weights, weight_files
from bob.errors import BackboneError, BobError
from bob.io.stamps import stamps
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
"""Packages whose versions may change a forward pass, or whether there is one."""

FILLS = {
    torch.Tensor.add_,
    torch.Tensor.clamp_,
    torch.Tensor.erfinv_,
    torch.Tensor.fill_,
    torch.Tensor.mul_,
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    torch.Tensor.zero_,
}
"""Functions that initialise weights in place, whose shapes they keep."""


def load(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Load a backbone's module with its weights.

    UnavailableError where the weights are unavailable, BackboneError where they do not fit or the
    module does not load.
    """
    file = find_weights(spec, offline=offline)
    files = stamps(weight_files(spec.name, file)) if file else {}
    try:
        loaded: Loaded = LOADERS[spec.loader].load(spec, file, offline=offline)
    except BobError:
        raise
    except Exception as error:  # a library refuses an option, or a user's function fails
        raise BackboneError(
            f"backbone {spec.name!r}: does not load: {type(error).__name__}: {error}"
        ) from error
    return replace(loaded, files={**files, **loaded.files})


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Build a backbone's module without weights, on the meta device.

    Shapes, parameter counts and preprocessing thus cost neither memory nor a download.
    """
    with torch.device("meta"), _UnfilledTensors():
        loaded: Loaded = LOADERS[spec.loader].outline(spec, offline=offline)
    loaded.module.to("meta").eval()
    return loaded


class _UnfilledTensors(TorchFunctionMode):
    """Skip filling tensors of the meta device, which have no values.

    PyTorch works out their shapes in Python, in a third of the time of an outline and its pass.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in FILLS and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def library_versions() -> dict[str, str]:
    """Return the versions of the baselines and of all installed libraries that run backbones."""
    versions = {"torch": torch.__version__, "baselines": baselines.VERSION}
    installed = {library: _installed_version(library) for library in LIBRARIES}
    return versions | {library: found for library, found in installed.items() if found}


@functools.cache
def _installed_version(library: str) -> str | None:
    """Return the version of an installed package, which is read from a file once."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None
