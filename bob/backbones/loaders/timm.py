"""Backbones from timm: any architecture, or a hub repository (`hf-hub:owner/name`) in its layout.

Weights come from the hub, a file, an installed package, or a seeded random initialisation.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from bob.backbones.backbone import Loaded
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.weights.layouts import with_layout_advice
from bob.backbones.weights.positions import Resampling, require_requested, resampling
from bob.backbones.weights.read import Checkpoint, read_checkpoint, without_wrapper
from bob.backbones.weights.tensors import (
    State,
    match_in_order,
    mismatch_error,
    mismatches,
    with_counters,
)
from bob.errors import BackboneError, ConfigError, OutputError, nearest
from bob.io.hub import hub_file
from bob.io.stamps import Stamp, stamps
from bob.specs import DEFAULT, GRID, KEYS, BackboneSpec, Output
from bob.specs.backbone import HUB_PREFIX

CONFIG_FILE = "config.json"
_CONVERSION_ERRORS = (RuntimeError, KeyError, ValueError, AttributeError, TypeError)
"""What timm's conversions raise on tensors of another architecture."""


class LayerTokens(NamedTuple):
    """The tokens of one layer."""

    grid: torch.Tensor
    """(B, H, W, D)"""
    prefix: torch.Tensor | None
    """(B, P, D), class token first; None where timm returns none."""


class TimmFeatures(nn.Module):
    """A timm model without its head, and the outputs that can be read from it.

    `default` is what the model's own classifier would read. Of the last layer, `cls` is the class
    token and `mean_patch` the mean of the patch tokens, both after the final norm. Named layers
    are read through timm's `forward_intermediates`; of plain transformers every layer passes the
    final norm, as in the linear probes of DINOv2 (arXiv:2304.07193, section B.3; its
    `get_intermediate_layers(norm=True)`). Stages of other networks are read as they are, before
    any layer between the last stage and the head. Of several layers, each contributes its class
    token, its mean, or both side by side, in the order in which the layers are named. `keys` are
    those of the patch tokens in the last attention, as its projection gives them: before their norm
    and rotation, where there are any.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model: Any = model
        self.name = name
        run = getattr(model, "forward_intermediates", None)
        parameters = inspect.signature(run).parameters if run else {}
        self.depth = len(getattr(model, "feature_info", None) or ()) if run else 0
        """Number of layers that can be named; 0 where timm cannot read them."""
        self.n_prefix: int | None = getattr(model, "num_prefix_tokens", None)
        """Number of class and register tokens; None where timm does not separate them."""
        self.is_transformer = self.n_prefix is not None
        """Whether every layer is a sequence of tokens that the final norm fits."""
        self.has_class_token = getattr(model, "cls_token", None) is not None
        self._returns_prefix = bool(self.n_prefix) and "return_prefix_tokens" in parameters

    def patch_px(self) -> int | None:
        """Return the side of a plain transformer's patches in pixels; None for other networks."""
        stages = getattr(self.model, "feature_info", None)
        return stages[-1]["reduction"] if self.is_transformer and stages else None

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        if KEYS not in outputs:
            return self._read(x, outputs)
        attention = self._last_attention()
        inputs: list[torch.Tensor] = []
        handle = attention.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        try:
            read = self._read(x, [output for output in outputs if output != KEYS] or [GRID])
        finally:
            handle.remove()
        read[KEYS] = self._patch_keys(attention, inputs[0], x)
        return {output: read[output] for output in outputs}

    def _last_attention(self) -> Any:
        """Return the attention of the last block; OutputError where its keys cannot be read."""
        blocks = getattr(self.model, "blocks", None) if self.is_transformer else None
        attention = getattr(blocks[-1], "attn", None) if blocks else None
        if not (hasattr(attention, "qkv") or hasattr(attention, "k_proj")):
            raise OutputError(
                f"backbone {self.name!r}: output 'keys' needs a last attention over all patches "
                "with a projection of keys, which this architecture does not have."
            )
        return attention

    def _patch_keys(self, attention: Any, tokens: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the keys (B, H, W, D) of the patches among the tokens (B, N, D) of images x."""
        height, width = self.model.patch_embed.dynamic_feat_size(tuple(x.shape[-2:]))
        n_prefix = self.n_prefix or 0
        if tokens.ndim != 3 or tokens.shape[1] != n_prefix + height * width:
            raise OutputError(
                f"backbone {self.name!r}: output 'keys' needs one token per patch in the last "
                f"attention; got the shape {tuple(tokens.shape)} with {height} x {width} patches."
            )
        patches = tokens[:, n_prefix:]
        if getattr(attention, "qkv", None) is None:
            keys: torch.Tensor = attention.k_proj(patches)
        else:
            width_of_keys = attention.qkv.out_features // 3
            of_keys = slice(width_of_keys, 2 * width_of_keys)
            bias = attention.qkv.bias
            keys = F.linear(
                patches, attention.qkv.weight[of_keys], None if bias is None else bias[of_keys]
            )
        return keys.reshape(len(x), height, width, -1)

    def _read(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        """Return all outputs but keys."""
        if list(outputs) == [DEFAULT]:
            return {DEFAULT: self.model(x)}
        layers = {output: self._layers(output) for output in outputs if self._reads_layers(output)}
        features, tokens = self._run(
            x,
            sorted({layer for named in layers.values() for layer in named}),
            with_features=len(layers) < len(outputs),
        )
        return {
            output: self._from_layers([tokens[layer] for layer in layers[output]], output)
            if output in layers
            else self._from_features(features, output)
            for output in outputs
        }

    def _reads_layers(self, output: Output) -> bool:
        """Whether an output is read from intermediate layers; a transformer's grid is too."""
        return output.layers != "last" or (output.is_grid and self.is_transformer)

    def _layers(self, output: Output) -> list[int]:
        """Return the layers that an output reads, counted from 0."""
        if not self.depth:
            raise OutputError(
                f"backbone {self.name!r}: output {str(output)!r} reads intermediate layers, "
                "which timm does not return for this architecture; use 'default'."
            )
        named = (-1,) if output.layers == "last" else output.layers
        if outside := [layer for layer in named if not -self.depth <= layer < self.depth]:
            raise OutputError(
                f"backbone {self.name!r}: has no layer {outside[0]} for output {str(output)!r}; "
                f"its {self.depth} layers are numbered 0 to {self.depth - 1}, or -{self.depth} "
                "to -1."
            )
        return [layer % self.depth for layer in named]

    def _run(
        self, x: torch.Tensor, layers: list[int], *, with_features: bool
    ) -> tuple[Any, dict[int, LayerTokens]]:
        """Return the result of `forward_features` and the tokens of layers, in one forward pass.

        `layers` are in ascending order. The result is None where no output reads it.
        """
        if not layers:
            return self.model.forward_features(x), {}
        options = {"return_prefix_tokens": True} if self._returns_prefix else {}
        result = self.model.forward_intermediates(
            x,
            indices=layers,
            norm=self.is_transformer,
            intermediates_only=not with_features,
            **options,
        )
        features, states = result if with_features else (None, result)
        tokens = {}
        for layer, state in zip(layers, states, strict=True):
            grid, prefix = state if isinstance(state, tuple) else (state, None)
            tokens[layer] = LayerTokens(grid.permute(0, 2, 3, 1), prefix)
        return features, tokens

    def _from_features(self, features: Any, output: Output) -> torch.Tensor:
        """Read an output of the last layer from the result of `forward_features`.

        The result is a map (B, D, H, W) or (B, H, W, D), tokens (B, N, D), or something else that
        only the architecture's own head can read.
        """
        if output == DEFAULT:
            default: torch.Tensor = self.model.forward_head(features)
            return default
        if isinstance(features, torch.Tensor) and features.ndim == 4:
            channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
            grid = features if channels_last else features.permute(0, 2, 3, 1)
            return grid if output.is_grid else self._pool(LayerTokens(grid, None), output)
        if output.is_grid:
            raise OutputError(
                f"backbone {self.name!r}: timm does not return the last layer of this architecture "
                "as a grid; name a layer, as in 'grid@-1'."
            )
        if not isinstance(features, torch.Tensor) or (
            self.n_prefix is None and self.has_class_token
        ):
            raise OutputError(
                f"backbone {self.name!r}: output {str(output)!r} needs patch tokens alone, which "
                "timm does not return for the last layer of this architecture; use 'default'."
            )
        n_prefix = self.n_prefix or 0
        patches = features[:, None, n_prefix:]
        return self._pool(LayerTokens(patches, features[:, :n_prefix]), output)

    def _from_layers(self, layers: list[LayerTokens], output: Output) -> torch.Tensor:
        """Return the rows (B, D) or the grid (B, H, W, D) of layers, side by side."""
        if not output.is_grid:
            return torch.cat([self._pool(tokens, output) for tokens in layers], dim=1)
        sizes = {tuple(tokens.grid.shape[1:3]) for tokens in layers}
        if len(sizes) > 1:
            raise OutputError(
                f"backbone {self.name!r}: the layers of output {str(output)!r} have grids of "
                f"different sizes, {sorted(sizes)}; name layers of one size."
            )
        return torch.cat([tokens.grid for tokens in layers], dim=3)

    def _pool(self, tokens: LayerTokens, output: Output) -> torch.Tensor:
        """Return the pooled row (B, D) of one layer, or (B, 2 D) for `cls+mean_patch`."""
        rows = []
        for part in output.pool.split("+"):
            if part == "cls":
                rows.append(self._class_token(tokens, output))
            elif part == "mean_patch":
                rows.append(tokens.grid.flatten(1, 2).mean(dim=1))
            else:
                raise OutputError(
                    f"backbone {self.name!r}: a timm model has no output {str(output)!r}; "
                    "use 'default', 'cls', 'mean_patch', 'cls+mean_patch' or 'grid'."
                )
        return torch.cat(rows, dim=1)

    def _class_token(self, tokens: LayerTokens, output: Output) -> torch.Tensor:
        if not self.has_class_token:
            raise OutputError(
                f"backbone {self.name!r}: has no class token for output {str(output)!r}; "
                "use 'default' or 'mean_patch'."
            )
        if tokens.prefix is None:
            raise OutputError(
                f"backbone {self.name!r}: output {str(output)!r} needs class tokens of named "
                "layers, which timm does not return for this architecture; use 'cls'."
            )
        return tokens.prefix[:, 0]


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Load a timm model with its weights checked name by name, and remove its head."""
    architecture = _architecture(spec, offline=offline)
    if file is None:
        model, checkpoint, positions = _random(spec, architecture), Checkpoint({}), Resampling()
    else:
        model, checkpoint, positions = _from_file(spec, architecture, file)
    model.reset_classifier(0)
    return replace(
        _loaded(spec, model),
        forward=positions.facts(),
        notes=(*checkpoint.notes, *positions.notes()),
        files=architecture.files,
    )


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Build the model without head or weights, on torch's current default device."""
    return _loaded(spec, _create(spec, _architecture(spec, offline=offline), num_classes=0))


def preprocessing(spec: BackboneSpec, config: Mapping[str, Any]) -> tuple[Geometry, Normalisation]:
    """Return timm's own preprocessing for the weights, with the spec's overrides."""
    from timm.data import resolve_data_config

    defaults, overrides = resolve_data_config({}, pretrained_cfg=dict(config)), spec.preprocessing
    _, height_px, width_px = defaults["input_size"]
    geometry = Geometry(
        height_px=overrides.input_px or height_px,
        width_px=overrides.input_px or width_px,
        crop_pct=overrides.crop_pct or defaults["crop_pct"],
        crop_mode=overrides.crop_mode or defaults["crop_mode"],
        interpolation=overrides.interpolation or defaults["interpolation"],
    )
    normalisation = Normalisation(
        tuple(overrides.mean or defaults["mean"]), tuple(overrides.std or defaults["std"])
    )
    return geometry, normalisation


def without_head(
    state: Mapping[str, torch.Tensor], config: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """Return the tensors that are not part of the classifier that timm's configuration names."""
    heads = config.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    return {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith(tuple(f"{head}." for head in heads))
    }


@dataclass(frozen=True)
class Architecture:
    """Arguments of `timm.create_model`."""

    name: str
    options: Mapping[str, Any]
    files: Mapping[str, Stamp] = field(default_factory=dict)
    """Configuration files that describe it, by path."""


def _architecture(spec: BackboneSpec, *, offline: bool) -> Architecture:
    """Return the entry's architecture, or the one in its hub repository's `config.json`."""
    if not spec.architecture.startswith(HUB_PREFIX):
        _check_architecture(spec)
        return Architecture(spec.architecture, spec.options)
    from timm.models._hub import load_model_config_from_path

    repository = spec.architecture.removeprefix(HUB_PREFIX)
    revision = spec.weights.revision if spec.weights and spec.weights.hub == repository else None
    file = hub_file(f"backbone {spec.name!r}", repository, [CONFIG_FILE], revision, offline=offline)
    files = stamps([file])
    config, name, options = load_model_config_from_path(file.parent)
    return Architecture(name, {**options, **spec.options, "pretrained_cfg": config}, files)


def _loaded(spec: BackboneSpec, model: Any) -> Loaded:
    import timm

    geometry, normalisation = preprocessing(spec, model.pretrained_cfg)
    return Loaded(
        TimmFeatures(model, spec.name), geometry, normalisation, f"timm {timm.__version__}"
    )


def _create(spec: BackboneSpec, architecture: Architecture, **options: Any) -> Any:
    """Build a timm model, for the spec's input size where the architecture depends on it."""
    import timm

    arguments = {**architecture.options, **options}
    resized = {"img_size": spec.preprocessing.input_px} if spec.preprocessing.input_px else {}
    try:
        return timm.create_model(architecture.name, **{**arguments, **resized})
    except TypeError:
        if not resized:
            raise
        # a convolutional architecture takes images of any size and has no argument img_size
        return timm.create_model(architecture.name, **arguments)


def _random(spec: BackboneSpec, architecture: Architecture) -> Any:
    """Build a model as timm initialises it from the spec's seed.

    torch's global generator is left as it was.
    """
    if spec.weights is None or spec.weights.random is None:
        raise ConfigError(
            f"backbone {spec.name!r}: 'weights' is missing: give hub, package, file, url or random."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.weights.random)
        return _create(spec, architecture)


def fit(spec: BackboneSpec, state: State) -> Any:
    """Build the entry's architecture without its head, with position embeddings resampled to fit.

    Used by the loader checkpoint, whose tensors have the architecture's names.
    """
    try:
        return _headless(spec, Architecture(spec.architecture, spec.options), state)
    except _CONVERSION_ERRORS as error:
        expected = _create(spec, Architecture(spec.architecture, spec.options), num_classes=0)
        problems = mismatches(state, expected.state_dict())
        raise mismatch_error(spec.name, spec.architecture, problems) from error


def _from_file(
    spec: BackboneSpec, architecture: Architecture, file: Path
) -> tuple[Any, Checkpoint, Resampling]:
    key = spec.weights.state_dict if spec.weights else None
    try:
        checkpoint = read_checkpoint(spec.name, file, key)
        state = without_wrapper(checkpoint.tensors)
        model = _pretrained(spec, architecture, state)
    except BackboneError as error:
        expected = _create(spec, architecture, num_classes=0).state_dict()
        raise with_layout_advice(error, spec.name, file, expected) from error
    positions = resampling(state, model.state_dict())
    if not _is_published(spec):
        require_requested(spec, positions, _input_px(spec, model))
    return model, checkpoint, positions


def _is_published(spec: BackboneSpec) -> bool:
    """Whether weights and architecture are one publication, whose author chose the input size."""
    hub = spec.weights.hub if spec.weights else None
    architecture = spec.architecture
    tagged = "." in architecture and hub == f"timm/{architecture}"
    return hub is not None and (tagged or architecture == HUB_PREFIX + hub)


def _input_px(spec: BackboneSpec, model: Any) -> int:
    geometry, _ = preprocessing(spec, model.pretrained_cfg)
    return geometry.height_px


def _pretrained(
    spec: BackboneSpec, architecture: Architecture, state: dict[str, torch.Tensor]
) -> Any:
    """Build a model with weights that fit by name, if need be after timm's own conversion.

    BackboneError where they do not; no parameter keeps its initial value. The size of the file's
    classifier makes no difference.
    """
    if spec.weights and spec.weights.match == "order":
        state = match_in_order(spec.name, state, _create(spec, architecture).state_dict())
    model = _create(spec, architecture, num_classes=0)
    expected = model.state_dict()
    body = with_counters(without_head(state, model.pretrained_cfg), expected)
    problems = mismatches(body, expected)
    if not problems:
        model.load_state_dict(body)
        return model
    n_classes = model.pretrained_cfg["num_classes"]
    attempts: list[Callable[[], Any]] = [
        partial(_converted, spec, architecture, state, n_classes, num_classes=n_classes),
        partial(_headless, spec, architecture, body),
    ]
    if (own := _classes_in(state)) not in (None, n_classes):
        attempts.append(partial(_converted, spec, architecture, state, own, num_classes=own))
    for attempt in attempts:
        try:
            return attempt()
        except _CONVERSION_ERRORS:
            continue
    raise mismatch_error(spec.name, spec.architecture, problems)


def _converted(
    spec: BackboneSpec,
    architecture: Architecture,
    state: State,
    n_classes: int,
    **configuration: Any,
) -> Any:
    """Build a model with n classes and let timm convert the tensors to its names and sizes.

    timm loads strictly only if the configuration does not name a classifier of another size.
    """
    overlay = {**configuration, "state_dict": dict(state)}
    config: dict[str, Any] = {"pretrained_cfg_overlay": overlay}
    if "pretrained_cfg" in architecture.options:
        config = {"pretrained_cfg": {**architecture.options["pretrained_cfg"], **overlay}}
    return _create(spec, architecture, pretrained=True, num_classes=n_classes, **config)


def _headless(spec: BackboneSpec, architecture: Architecture, body: State) -> Any:
    return _converted(spec, architecture, body, 0, classifier=None)


def _classes_in(state: State) -> int | None:
    """Return the number of classes of the classifier in a file; None where it has none."""
    sizes = [
        tensor.shape[0]
        for name, tensor in state.items()
        if tensor.ndim == 2 and name.rpartition(".")[0].endswith(("head", "fc", "classifier"))
    ]
    return sizes[-1] if sizes else None


def _check_architecture(spec: BackboneSpec) -> None:
    import timm

    name = spec.architecture.split(".")[0]
    if not timm.is_model(name):
        raise ConfigError(
            f"backbone {spec.name!r}: timm {timm.__version__} has no architecture {name!r}"
            f"{nearest(name, timm.list_models())}"
        )
