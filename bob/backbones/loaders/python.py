"""Backbones from a user's function: arbitrary code, refused unless allowed with `--allow-code`.

`architecture` is `package.module:function` or `file.py:function`. The function takes no arguments
and returns a module and its preprocessing, a mapping with every key of an entry's `preprocessing`.
The module maps normalised pixels (B, 3, H, W) float32 to rows (B, D).
"""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.loaders.preprocessing import geometry_and_normalisation
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.weights.tensors import tensor_hash
from bob.errors import BackboneError, ConfigError
from bob.specs import DEFAULT, BackboneSpec, Output, Preprocessing
from bob.specs.yaml import build

REGISTERED = ("_parameters", "_buffers", "_modules")
"""Attributes in which a module keeps what it knows by name."""
DEPTH = 3
"""How many containers inside one another are searched for tensors."""


class UserFeatures(nn.Module):
    """A user's module, whose only output is `default`: (B, 3, H, W) → (B, D)."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        refuse_outputs(self.name, outputs, [DEFAULT], "a module of loader python")
        rows = self.model(x)
        if not isinstance(rows, torch.Tensor):
            raise BackboneError(
                f"backbone {self.name!r}: its module must return a tensor (B, D); "
                f"got {type(rows).__name__}."
            )
        if rows.is_complex():
            raise BackboneError(
                f"backbone {self.name!r}: its module must return real numbers; got {rows.dtype}."
            )
        return {DEFAULT: rows}


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Run the user's function. The digest of its source file is part of every key.

    So is that of tensors that its module holds beside parameters and persistent buffers.
    """
    digest = hashlib.sha256(source_of(spec).read_bytes()).hexdigest()
    function = _function(spec)
    result = function()
    if not (
        isinstance(result, tuple)
        and len(result) == 2
        and isinstance(result[0], nn.Module)
        and isinstance(result[1], Mapping)
    ):
        raise BackboneError(
            f"backbone {spec.name!r}: {spec.architecture} must return (module, preprocessing); "
            f"got {type(result).__name__}."
        )
    module, preprocessing = result
    geometry, normalisation = _preprocessing(spec, preprocessing)
    facts = {"source_sha256": digest}
    if others := unregistered_tensors(module):
        facts["unregistered_tensors"] = tensor_hash(others)
    return Loaded(
        UserFeatures(module, spec.name),
        geometry,
        normalisation,
        f"torch {torch.__version__}",
        facts,
    )


def unregistered_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors and arrays in a module's attributes that its state dict lacks, by name.

    They are buffers that are not persistent, plain attributes, and items of lists, tuples and
    mappings in attributes, which may be modules.
    """
    registered = model.state_dict(keep_vars=True)
    found: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        places = {key: value for key, value in vars(module).items() if key not in REGISTERED}
        places |= {
            key: buffer
            for key, buffer in module.named_buffers(recurse=False)
            if f"{name}.{key}".lstrip(".") not in registered
        }
        found |= {f"{name}.{place}": tensor for place, tensor in _tensors_in(places, DEPTH)}
    return found


def _tensors_in(value: Any, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the dense tensors and arrays of numbers in a value, with their dotted places."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        yield "", torch.from_numpy(np.array(value, np.float64))
    elif isinstance(value, torch.Tensor):
        if value.layout is torch.strided and not value.is_meta:
            yield "", value
    elif depth > 0:
        for key, item in _items(value):
            for place, tensor in _tensors_in(item, depth - 1):
                yield f"{key}.{place}", tensor


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return what a container holds, with its places."""
    if isinstance(value, nn.Module):
        return value.state_dict().items()
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Raise BackboneError: only running the function shows what it builds."""
    raise BackboneError(
        f"backbone {spec.name!r}: what {source_of(spec)} builds is unknown until it runs."
    )


def source_of(spec: BackboneSpec) -> Path:
    """Return the file that contains the function, without running it."""
    place, colon, function = spec.architecture.rpartition(":")
    if not (place and colon and function.isidentifier()):
        raise ConfigError(
            f"backbone {spec.name!r}: architecture must be 'module:function' or "
            f"'file.py:function'; got {spec.architecture!r}."
        )
    path = Path(place) if place.endswith(".py") else _module_file(place)
    if not path.is_file():
        raise ConfigError(
            f"backbone {spec.name!r}: there is no {place!r} to take {function!r} from."
        )
    return path


def _module_file(name: str) -> Path:
    """Return the source file of an importable module; the name itself if there is none."""
    # find_spec of a submodule raises where its package cannot be imported
    package = name.split(".")[0]
    module = importlib.util.find_spec(package) and importlib.util.find_spec(name)
    return Path(module.origin) if module and module.origin else Path(name)


def _function(spec: BackboneSpec) -> Callable[[], Any]:
    source, (place, _, name) = source_of(spec), spec.architecture.rpartition(":")
    module = _import_file(source) if place.endswith(".py") else importlib.import_module(place)
    function: Callable[[], Any] | None = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"backbone {spec.name!r}: {place!r} has no function {name!r}.")
    return function


def _import_file(path: Path) -> Any:
    """Import a file under a name of its own, so that its classes can be pickled and copied."""
    name = f"bob_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    module_spec.loader.exec_module(module)
    return module


def _preprocessing(spec: BackboneSpec, values: Mapping[str, Any]) -> tuple[Geometry, Normalisation]:
    """Return the function's preprocessing with the entry's overrides; nothing may be missing."""
    overrides = {name: value for name, value in spec.preprocessing if value is not None}
    preprocessing = build(
        Preprocessing,
        {**values, **overrides},
        f"backbone {spec.name!r}: preprocessing from {spec.architecture}",
    )
    if missing := preprocessing.missing():
        raise BackboneError(
            f"backbone {spec.name!r}: {spec.architecture} does not return all of its "
            f"preprocessing; missing: {', '.join(missing)}."
        )
    return geometry_and_normalisation(preprocessing)
