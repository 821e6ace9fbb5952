"""Backbones from timm: any architecture, or a hub repository in timm's layout (`hf-hub:owner/name`); weights from the hub, a file, an installed
package, or a seeded random initialisation."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.weights.layouts import with_layout_advice
from bob.backbones.weights.tensors import match_in_order, mismatch_error, mismatches, read_tensors
from bob.errors import BackboneError, ConfigError, nearest
from bob.io.hub import hub_file
from bob.specs import DEFAULT, BackboneSpec, Output
from bob.specs.backbone import OWN_REPOSITORY

CONFIG_FILE = "config.json"


class TimmFeatures(nn.Module):
    """A timm model without its head, and the outputs that can be read from it.

    `default` is what the model's own classifier would read. Of the last layer, `cls` is the class
    token and `mean_patch` the mean of the patch tokens, both after the final norm. Named layers
    are read through timm's `forward_intermediates`; of plain transformers every layer passes the
    final norm, as in the linear probes of DINOv2 (arXiv:2304.07193, section 7.1; its
    `get_intermediate_layers(norm=True)`). Of several layers, each contributes its class token, its
    mean, or both side by side, in the order in which the layers are named.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model: Any = model
        self.name = name

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        if list(outputs) == [DEFAULT]:
            return {DEFAULT: self.model(x)}
        last = [output for output in outputs if output.layers == "last"]
        features = self.model.forward_features(x) if last else None
        layers = _Layers(self, x, [output for output in outputs if self._needs_layers(output)])
        return {
            output: layers.read(output)
            if features is None or self._needs_layers(output)
            else self._from_last(features, output)
            for output in outputs
        }

    def _needs_layers(self, output: Output) -> bool:
        """Whether an output is read from intermediate layers; token grids are too."""
        return output.layers != "last" or (output.is_grid and self.has_tokens)

    def _from_last(self, features: torch.Tensor, output: Output) -> torch.Tensor:
        """Pool the output (B, N, D) or (B, D, H, W) or (B, H, W, D) of `forward_features`."""
        if output == DEFAULT:
            default: torch.Tensor = self.model.forward_head(features)
            return default
        if features.ndim == 4:
            grid = features if self._is_channels_last else features.permute(0, 2, 3, 1)
            if output.is_grid:
                return grid
            return self.pool(grid.flatten(1, 2), None, output)
        prefix = getattr(self.model, "num_prefix_tokens", 0)
        return self.pool(features[:, prefix:], features[:, :prefix], output)

    def pool(
        self, patches: torch.Tensor, prefix: torch.Tensor | None, output: Output
    ) -> torch.Tensor:
        """Pool patch tokens (B, N, D) and prefix tokens (B, P, D) to (B, D) or (B, 2 D)."""
        if "cls" in output.pool and (prefix is None or not self.has_class_token):
            raise BackboneError(
                f"backbone {self.name!r}: has no class token for output {str(output)!r}; "
                "use 'default' or 'mean_patch'."
            )
        parts = [
            prefix[:, 0] if part == "cls" and prefix is not None else patches.mean(dim=1)
            for part in output.pool.split("+")
        ]
        return torch.cat(parts, dim=1)

    @property
    def has_class_token(self) -> bool:
        return getattr(self.model, "cls_token", None) is not None

    @property
    def has_tokens(self) -> bool:
        """Whether the model is a plain transformer, whose layers are sequences of tokens."""
        return hasattr(self.model, "num_prefix_tokens")

    @property
    def _is_channels_last(self) -> bool:
        return getattr(self.model, "output_fmt", "NCHW") == "NHWC"


class _Layers:
    """Intermediate layers of one forward pass, computed once for several outputs."""

    def __init__(self, features: TimmFeatures, x: torch.Tensor, outputs: Sequence[Output]) -> None:
        self.features = features
        self.depth = len(getattr(features.model, "feature_info", None) or ())
        self._grid: dict[int, torch.Tensor] = {}
        self._prefix: dict[int, torch.Tensor] = {}
        if wanted := sorted({layer for output in outputs for layer in self._layers_of(output)}):
            self._run(x, wanted)

    def read(self, output: Output) -> torch.Tensor:
        """Return the rows (B, D) or the grid (B, H, W, D) of an output."""
        layers = self._layers_of(output)
        if not output.is_grid:
            pooled = [
                self.features.pool(self._grid[i].flatten(1, 2), self._prefix.get(i), output)
                for i in layers
            ]
            return torch.cat(pooled, dim=1)
        sizes = {tuple(self._grid[layer].shape[1:3]) for layer in layers}
        if len(sizes) > 1:
            raise BackboneError(
                f"backbone {self.features.name!r}: the layers of output {str(output)!r} have grids "
                f"of different sizes, {sorted(sizes)}; name layers of one size."
            )
        return torch.cat([self._grid[layer] for layer in layers], dim=3)

    def _run(self, x: torch.Tensor, layers: list[int]) -> None:
        """Store the grid (B, H, W, D) and the prefix tokens (B, P, D) of each layer."""
        run = self.features.model.forward_intermediates
        with_prefix = "return_prefix_tokens" in inspect.signature(run).parameters
        options = {"return_prefix_tokens": True} if with_prefix else {}
        norm = self.features.has_tokens
        read = run(x, indices=layers, norm=norm, intermediates_only=True, **options)
        for layer, values in zip(layers, read, strict=True):
            grid, prefix = values if isinstance(values, tuple) else (values, None)
            self._grid[layer] = grid.permute(0, 2, 3, 1)
            if prefix is not None:
                self._prefix[layer] = prefix

    def _layers_of(self, output: Output) -> list[int]:
        """Return the layers of an output, counted from 0."""
        if not self.depth or not hasattr(self.features.model, "forward_intermediates"):
            raise BackboneError(
                f"backbone {self.features.name!r}: output {str(output)!r} reads intermediate "
                "layers, which timm does not give for this architecture."
            )
        named = (-1,) if output.layers == "last" else output.layers
        if outside := [layer for layer in named if not -self.depth <= layer < self.depth]:
            raise BackboneError(
                f"backbone {self.features.name!r}: has no layer {outside[0]}; its {self.depth} "
                f"layers are numbered 0 to {self.depth - 1}, or -{self.depth} to -1."
            )
        return [layer % self.depth for layer in named]


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
    return Loaded(
        TimmFeatures(model, spec.name), geometry, normalisation, f"timm {timm.__version__}"
    )


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
        raise with_layout_advice(
            error, spec.name, file, _create(spec, named, num_classes=0).state_dict()
        ) from error


def _pretrained(spec: BackboneSpec, named: Named, state: dict[str, torch.Tensor]) -> Any:
    """Weights that fit the architecture by name; else after timm's own conversion; else an error. Nothing stays at its initial value."""
    if spec.weights and spec.weights.match == "order":
        state = match_in_order(spec.name, state, _create(spec, named).state_dict())
    model = _create(spec, named, num_classes=0)
    body = without_head(state, model.pretrained_cfg)
    other = mismatches(body, model.state_dict())
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
        raise mismatch_error(spec.name, spec.architecture, other) from error


def _check_architecture(spec: BackboneSpec) -> None:
    import timm

    bare = spec.architecture.split(".")[0]
    if not timm.is_model(bare):
        known = timm.list_models()
        raise ConfigError(
            f"backbone {spec.name!r}: timm {timm.__version__} has no architecture {bare!r}{nearest(bare, known)}"
        )
