"""Backbones from a function of the user's own: CODE THAT RUNS, and so refused unless the user allows it (`--allow-code`).

`architecture` is `package.module:function` or `file.py:function`. The function takes nothing and returns a module and its preprocessing, a
mapping with every key of an entry's `preprocessing`. The module maps normalised pixels (B, 3, H, W) float32 to rows (B, D).
"""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.errors import BackboneError, ConfigError
from bob.specs import DEFAULT, BackboneSpec, Output, Preprocessing
from bob.specs.yaml import build


class UserRows(nn.Module):
    """The user's module; it has one pooling, `default`."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        refuse_outputs(self.name, outputs, [DEFAULT], "a module of loader python")
        rows = self.model(x)
        if not isinstance(rows, torch.Tensor):
            raise BackboneError(
                f"backbone {self.name!r}: its module must return a tensor (B, D); got {type(rows).__name__}."
            )
        return {DEFAULT: rows}


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Runs the user's function. The digest of the source file that holds it is part of every key."""
    function, source = _function(spec)
    made = function()
    if not (
        isinstance(made, tuple)
        and len(made) == 2
        and isinstance(made[0], nn.Module)
        and isinstance(made[1], Mapping)
    ):
        raise BackboneError(
            f"backbone {spec.name!r}: {spec.architecture} must return (module, preprocessing); got {type(made).__name__}."
        )
    module, told = made
    geometry, normalisation = _preprocessing(spec, told)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return Loaded(
        UserRows(module, spec.name),
        geometry,
        normalisation,
        f"torch {torch.__version__}",
        {"source_sha256": digest},
    )


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Only the function itself knows what it builds, and this does not run it."""
    raise BackboneError(
        f"backbone {spec.name!r}: what {source_of(spec)} builds is known when it runs."
    )


def source_of(spec: BackboneSpec) -> Path:
    """The file that holds the function; found without running it."""
    place, colon, function = spec.architecture.rpartition(":")
    if not (place and colon and function.isidentifier()):
        raise ConfigError(
            f"backbone {spec.name!r}: architecture must be 'module:function' or 'file.py:function'; got {spec.architecture!r}."
        )
    if place.endswith(".py"):
        path = Path(place)
    else:
        found = (
            importlib.util.find_spec(place)
            if "." not in place or importlib.util.find_spec(place.split(".")[0])
            else None
        )
        path = Path(found.origin) if found and found.origin else Path(place)
    if not path.is_file():
        raise ConfigError(
            f"backbone {spec.name!r}: there is no {place!r} to take {function!r} from."
        )
    return path


def _function(spec: BackboneSpec) -> tuple[Callable[[], Any], Path]:
    source, (place, _, name) = source_of(spec), spec.architecture.rpartition(":")
    module = _from_file(source) if place.endswith(".py") else importlib.import_module(place)
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"backbone {spec.name!r}: {place!r} has no function {name!r}.")
    return function, source


def _from_file(path: Path) -> Any:
    """The file as a module of its own name, so that its classes can be told apart and copied."""
    name = f"bob_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def _preprocessing(spec: BackboneSpec, told: Mapping[str, Any]) -> tuple[Geometry, Normalisation]:
    """What the function tells, with the entry's overrides; nothing may stay open."""
    overrides = {name: value for name, value in spec.preprocessing if value is not None}
    both = build(
        Preprocessing,
        {**told, **overrides},
        f"backbone {spec.name!r}: preprocessing from {spec.architecture}",
    )
    if missing := both.missing():
        raise BackboneError(
            f"backbone {spec.name!r}: {spec.architecture} does not tell its preprocessing: {', '.join(missing)}."
        )
    assert (
        both.input_px
        and both.crop_pct
        and both.crop_mode
        and both.interpolation
        and both.mean
        and both.std
    )
    geometry = Geometry(
        both.input_px, both.input_px, both.crop_pct, both.crop_mode, both.interpolation
    )
    return geometry, Normalisation(both.mean, both.std)
