"""Backbones from timm: any architecture; weights from the hub, a file, an installed package, or a seeded random initialisation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded
from bob.backbones.geometry import Geometry, Normalisation
from bob.backbones.weights import differences, in_file_order, read_tensors
from bob.errors import BackboneError, ConfigError
from bob.parse import nearest
from bob.specs import BackboneSpec, Pooling


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
        if features.ndim != 3 or ("cls" in pooling and getattr(self.model, "cls_token", None) is None):
            raise BackboneError(f"backbone {self.name!r}: has no tokens for pooling {pooling!r}; use pooling 'default'.")
        parts = {"cls": features[:, 0], "mean_patch": features[:, prefix:].mean(dim=1)}
        return torch.cat([parts[part] for part in pooling.split("+")], dim=1)


def load(spec: BackboneSpec, file: Path | None) -> Loaded:
    """The model as timm builds it, its weights checked name by name, its head removed."""
    import timm

    _check_architecture(spec)
    model = _random(spec) if file is None else _pretrained(spec, read_tensors(spec.name, file))
    model.reset_classifier(0)
    geometry, normalisation = preprocessing(spec, model.pretrained_cfg)
    return Loaded(TimmRows(model, spec.name), geometry, normalisation, f"timm {timm.__version__}")


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


def _create(spec: BackboneSpec, **options: Any) -> Any:
    import timm

    resized = {"img_size": spec.preprocessing.input_px} if spec.preprocessing.input_px else {}
    try:
        return timm.create_model(spec.architecture, **resized, **options)
    except TypeError:  # a convolutional architecture takes any size and no img_size
        return timm.create_model(spec.architecture, **options)


def _random(spec: BackboneSpec) -> Any:
    """The architecture as timm initialises it, from the spec's seed, leaving torch's global generator as it was."""
    if spec.weights is None or spec.weights.random is None:
        raise ConfigError(f"backbone {spec.name!r}: 'weights' is missing: give hub, package, file or random.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.weights.random)
        return _create(spec)


def _pretrained(spec: BackboneSpec, state: dict[str, torch.Tensor]) -> Any:
    """Weights that fit the architecture by name; else after timm's own conversion; else an error. Nothing stays at its initial value."""
    if spec.weights and spec.weights.match == "order":
        state = in_file_order(spec.name, state, _create(spec).state_dict())
    model = _create(spec, num_classes=0)
    wanted, body = model.state_dict(), without_head(state, model.pretrained_cfg)
    other = differences(body, wanted)
    if not other:
        model.load_state_dict(body)
        return model
    try:
        return _create(spec, pretrained=True, pretrained_cfg_overlay={"state_dict": state})
    except (RuntimeError, KeyError, ValueError, AttributeError, TypeError) as error:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise BackboneError(
            f"backbone {spec.name!r}: the checkpoint does not fit architecture {spec.architecture!r}: {'; '.join(other[:3])}{more}."
        ) from error


def without_head(state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    heads = config.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    return {name: tensor for name, tensor in state.items() if not name.startswith(tuple(f"{head}." for head in heads))}


def _check_architecture(spec: BackboneSpec) -> None:
    import timm

    bare = spec.architecture.split(".")[0]
    if not timm.is_model(bare):
        known = timm.list_models()
        raise ConfigError(f"backbone {spec.name!r}: timm {timm.__version__} has no architecture {bare!r}{nearest(bare, known)}")
