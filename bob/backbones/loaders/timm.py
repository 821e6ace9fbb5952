"""Backbones from timm: any architecture, or a hub repository in timm's layout (`hf-hub:owner/name`); weights from the hub, a file, an installed
package, or a seeded random initialisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.weights.layouts import advised
from bob.backbones.weights.tensors import differences, in_file_order, misfit, read_tensors
from bob.errors import BackboneError, ConfigError, nearest
from bob.io.hub import hub_file
from bob.specs import BackboneSpec, Pooling
from bob.specs.backbone import OWN_REPOSITORY

CONFIG_FILE = "config.json"


class TimmRows(nn.Module):
    """A timm model without its head, and its poolings.

    `default` is what the model's own classifier would read; `cls` the class token and `mean_patch` the mean of the patch tokens,
    both after the last norm; `cls+mean_patch` the two side by side.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model: Any = model
        self.name = name

    def forward(self, x: torch.Tensor, poolings: Sequence[Pooling]) -> dict[Pooling, torch.Tensor]:
        if list(poolings) == ["default"]:
            return {"default": self.model(x)}
        features = self.model.forward_features(x)
        return {pooling: self._pool(features, pooling) for pooling in poolings}

    def _pool(self, features: torch.Tensor, pooling: Pooling) -> torch.Tensor:
        if pooling == "default":
            default: torch.Tensor = self.model.forward_head(features)
            return default
        prefix = getattr(self.model, "num_prefix_tokens", 0)
        if features.ndim != 3 or (
            "cls" in pooling and getattr(self.model, "cls_token", None) is None
        ):
            raise BackboneError(
                f"backbone {self.name!r}: has no tokens for pooling {pooling!r}; use pooling 'default'."
            )
        parts = {"cls": features[:, 0], "mean_patch": features[:, prefix:].mean(dim=1)}
        return torch.cat([parts[part] for part in pooling.split("+")], dim=1)


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """The model as timm builds it, its weights checked name by name, its head removed."""
    named = _named(spec, offline=offline)
    model = _random(spec, named) if file is None else _from_file(spec, named, file)
    model.reset_classifier(0)
    return _loaded(spec, model)


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """The model without its head and without its weights, on torch's current default device."""
    return _loaded(spec, _create(spec, _named(spec, offline=offline), num_classes=0))


def preprocessing(spec: BackboneSpec, config: Mapping[str, Any]) -> tuple[Geometry, Normalisation]:
    """timm's own data configuration of the weights, with the spec's overrides."""
    from timm.data import resolve_data_config

    data, own = resolve_data_config({}, pretrained_cfg=dict(config)), spec.preprocessing
    _, height_px, width_px = data["input_size"]
    geometry = Geometry(
        height_px=own.input_px or height_px,
        width_px=own.input_px or width_px,
        crop_pct=own.crop_pct or data["crop_pct"],
        crop_mode=own.crop_mode or data["crop_mode"],
        interpolation=own.interpolation or data["interpolation"],
    )
    return geometry, Normalisation(tuple(own.mean or data["mean"]), tuple(own.std or data["std"]))


def without_head(
    state: Mapping[str, torch.Tensor], config: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    heads = config.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    return {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith(tuple(f"{head}." for head in heads))
    }


@dataclass(frozen=True)
class Named:
    """What timm is asked to build."""

    architecture: str
    options: Mapping[str, Any]


def _named(spec: BackboneSpec, *, offline: bool) -> Named:
    """The architecture and its arguments: the entry's, or those in the repository's own `config.json`."""
    if not spec.architecture.startswith(OWN_REPOSITORY):
        _check_architecture(spec)
        return Named(spec.architecture, spec.options)
    from timm.models._hub import load_model_config_from_path

    repository = spec.architecture.removeprefix(OWN_REPOSITORY)
    revision = spec.weights.revision if spec.weights and spec.weights.hub == repository else None
    file = hub_file(f"backbone {spec.name!r}", repository, [CONFIG_FILE], revision, offline=offline)
    config, architecture, options = load_model_config_from_path(file.parent)
    return Named(architecture, {**options, **spec.options, "pretrained_cfg": config})


def _loaded(spec: BackboneSpec, model: Any) -> Loaded:
    import timm

    geometry, normalisation = preprocessing(spec, model.pretrained_cfg)
    return Loaded(TimmRows(model, spec.name), geometry, normalisation, f"timm {timm.__version__}")


def _create(spec: BackboneSpec, named: Named, **options: Any) -> Any:
    """timm's model, built for the spec's input size where the architecture depends on it."""
    import timm

    given = {**named.options, **options}
    resized = {"img_size": spec.preprocessing.input_px} if spec.preprocessing.input_px else {}
    try:
        return timm.create_model(named.architecture, **{**given, **resized})
    except TypeError:
        if not resized:
            raise
        return timm.create_model(
            named.architecture, **given
        )  # a convolutional architecture takes any size and no img_size


def _random(spec: BackboneSpec, named: Named) -> Any:
    """The architecture as timm initialises it, from the spec's seed, leaving torch's global generator as it was."""
    if spec.weights is None or spec.weights.random is None:
        raise ConfigError(
            f"backbone {spec.name!r}: 'weights' is missing: give hub, package, file, url or random."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.weights.random)
        return _create(spec, named)


def _from_file(spec: BackboneSpec, named: Named, file: Path) -> Any:
    try:
        return _pretrained(spec, named, read_tensors(spec.name, file))
    except BackboneError as error:
        raise advised(
            error, spec.name, file, _create(spec, named, num_classes=0).state_dict()
        ) from error


def _pretrained(spec: BackboneSpec, named: Named, state: dict[str, torch.Tensor]) -> Any:
    """Weights that fit the architecture by name; else after timm's own conversion; else an error. Nothing stays at its initial value."""
    if spec.weights and spec.weights.match == "order":
        state = in_file_order(spec.name, state, _create(spec, named).state_dict())
    model = _create(spec, named, num_classes=0)
    body = without_head(state, model.pretrained_cfg)
    other = differences(body, model.state_dict())
    if not other:
        model.load_state_dict(body)
        return model
    config = {"pretrained_cfg_overlay": {"state_dict": state}}
    if "pretrained_cfg" in named.options:
        config = {"pretrained_cfg": {**named.options["pretrained_cfg"], "state_dict": state}}
    try:
        return _create(
            spec, named, pretrained=True, num_classes=model.pretrained_cfg["num_classes"], **config
        )  # another number of classes would not be strict
    except (RuntimeError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise misfit(spec.name, spec.architecture, other) from error


def _check_architecture(spec: BackboneSpec) -> None:
    import timm

    bare = spec.architecture.split(".")[0]
    if not timm.is_model(bare):
        known = timm.list_models()
        raise ConfigError(
            f"backbone {spec.name!r}: timm {timm.__version__} has no architecture {bare!r}{nearest(bare, known)}"
        )
