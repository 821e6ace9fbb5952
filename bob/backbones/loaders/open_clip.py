"""Backbones from open_clip: the image tower before and after its projection, and the text tower.

An architecture is one of open_clip's names, with `options` that replace parts of its configuration,
or `hf-hub:owner/name` for a repository with an `open_clip_config.json`. Only the image tower is
built for images; the text tower is loaded from the same file when there are texts to embed.
"""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from bob.backbones.backbone import Loaded
from bob.backbones.loaders.open_clip_text import IMAGE_PREFIX, load_text
from bob.backbones.loaders.towers import tower_features
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.text import TextTower
from bob.backbones.weights.tensors import load_strictly, read_tensors
from bob.errors import BackboneError, ConfigError, nearest
from bob.io.hub import hub_file, optional_file
from bob.specs import BackboneSpec
from bob.specs.backbone import HUB_PREFIX

CONFIG_FILE = "open_clip_config.json"
WRAPPER_PREFIX = "module."
"""Prefix of all tensors in a file that was saved from a data-parallel model."""
RESIZE_MODES = {"shortest": "center", "squash": "squash"}
"""open_clip's resize modes as timm's crop modes.

`longest` has no equivalent: open_clip pads with black, timm with the mean.
"""
MODEL_KEYS = ("embed_dim", "vision_cfg", "quick_gelu", "text_cfg", "custom_text")
"""Keys of open_clip's configuration that determine which model is built."""


@dataclass(frozen=True)
class OpenClipConfig:
    """open_clip's configuration of a model."""

    model: Mapping[str, Any]
    """Arguments that build the model."""
    preprocess: Mapping[str, Any]
    """Overrides of open_clip's default preprocessing."""


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Load the image tower, every tensor by name; the text tower is loaded on demand."""
    if file is None:
        raise ConfigError(
            f"backbone {spec.name!r}: 'weights' is missing: give hub, tag, url, file or package."
        )
    config, state = load_config(spec, offline=offline), _state(spec.name, file)
    tower = _tower(spec, config)
    image = {
        name.removeprefix(IMAGE_PREFIX): tensor
        for name, tensor in state.items()
        if name.startswith(IMAGE_PREFIX)
    }
    load_strictly(spec.name, tower, _resized(tower, image), spec.architecture)

    def text() -> TextTower:
        return load_text(spec, config.model, _state(spec.name, file), offline=offline)

    return _loaded(spec, config, tower, text)


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Build the image tower without weights, on torch's current default device."""
    config = load_config(spec, offline=offline)
    return _loaded(spec, config, _tower(spec, config), None)


def load_config(spec: BackboneSpec, *, offline: bool) -> OpenClipConfig:
    """Return open_clip's configuration of the architecture and of the tag's preprocessing.

    For `hf-hub:owner/name`, that of the repository.
    """
    import open_clip

    if spec.architecture.startswith(HUB_PREFIX):
        config = _repository_config(spec, offline=offline)
        model, preprocess = config["model_cfg"], config.get("preprocess_cfg", {})
    else:
        model = open_clip.get_model_config(spec.architecture)
        if model is None:
            raise ConfigError(
                f"backbone {spec.name!r}: open_clip {open_clip.__version__} has no architecture "
                f"{spec.architecture!r}{nearest(spec.architecture, open_clip.list_models())}"
            )
        preprocess = _tag_config(spec, model) or _repository_preprocessing(
            spec, {**model, **spec.options}, offline=offline
        )
    if "multimodal_cfg" in model:
        raise ConfigError(
            f"backbone {spec.name!r}: {spec.architecture!r} has a captioning decoder (CoCa), "
            "which this loader does not read."
        )
    return OpenClipConfig({**deepcopy(model), **deepcopy(dict(spec.options))}, preprocess)


def _tower(spec: BackboneSpec, config: OpenClipConfig) -> Any:
    import open_clip

    model, input_px = config.model, spec.preprocessing.input_px
    vision = {**model["vision_cfg"], "timm_model_pretrained": False}
    tower = open_clip.model._build_vision_tower(
        model["embed_dim"],
        {**vision, "image_size": input_px or vision["image_size"]},
        model.get("quick_gelu", False),
    )
    if input_px and hasattr(tower, "trunk"):
        tower.set_input_size(input_px)
    return tower


def _loaded(
    spec: BackboneSpec, config: OpenClipConfig, tower: Any, text: Callable[[], TextTower] | None
) -> Loaded:
    import open_clip
    import timm

    size = tower.image_size
    size_px = size if isinstance(size, tuple) else (size, size)
    geometry, normalisation = _preprocessing(spec, config, size_px)
    return Loaded(
        tower_features(spec.name, tower),
        geometry,
        normalisation,
        f"open_clip {open_clip.__version__}, timm {timm.__version__}",
        text=text,
    )


def _preprocessing(
    spec: BackboneSpec, config: OpenClipConfig, size_px: tuple[int, int]
) -> tuple[Geometry, Normalisation]:
    """Return open_clip's own preprocessing for the weights, with the spec's overrides."""
    from open_clip.transform import PreprocessCfg

    fields = PreprocessCfg.__dataclass_fields__
    defaults = PreprocessCfg(
        **{name: value for name, value in config.preprocess.items() if name in fields}
    )
    overrides = spec.preprocessing
    crop_mode = overrides.crop_mode or RESIZE_MODES.get(defaults.resize_mode)
    if crop_mode is None:
        raise ConfigError(
            f"backbone {spec.name!r}: resize_mode {defaults.resize_mode!r} has no equivalent here; "
            "give preprocessing.crop_mode."
        )
    interpolation = overrides.interpolation or defaults.interpolation
    geometry = Geometry(*size_px, overrides.crop_pct or 1.0, crop_mode, interpolation)
    normalisation = Normalisation(
        tuple(overrides.mean or defaults.mean), tuple(overrides.std or defaults.std)
    )
    return geometry, normalisation


def _tag_config(spec: BackboneSpec, model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return open_clip's configuration of the tag, which contains its preprocessing.

    ConfigError where its activation is not the architecture's: every feature would be wrong.
    """
    import open_clip

    if spec.weights is None or spec.weights.tag is None:
        return {}
    config: Mapping[str, Any] = open_clip.get_pretrained_cfg(spec.architecture, spec.weights.tag)
    if config.get("quick_gelu", False) and not {**model, **spec.options}.get("quick_gelu", False):
        raise ConfigError(
            f"backbone {spec.name!r}: tag {spec.weights.tag!r} was trained with QuickGELU, "
            f"architecture {spec.architecture!r} has GELU; use '{spec.architecture}-quickgelu'."
        )
    return config


def _repository_preprocessing(
    spec: BackboneSpec, model: Mapping[str, Any], *, offline: bool
) -> Mapping[str, Any]:
    """Return the preprocessing that the weights' own repository states; empty if it states none.

    BackboneError where the repository describes another model than the entry.
    """
    weights = spec.weights
    if weights is None or weights.hub is None or weights.tag is not None:
        return {}
    path = optional_file(
        f"backbone {spec.name!r}", weights.hub, CONFIG_FILE, weights.revision, offline=offline
    )
    config = json.loads(path.read_bytes()) if path else {}
    if stated := config.get("model_cfg"):
        for key in MODEL_KEYS:
            if not _builds_same(key, model.get(key), stated.get(key)):
                raise BackboneError(
                    f"backbone {spec.name!r}: {key} is {model.get(key)}; "
                    f"{CONFIG_FILE} of {weights.hub!r} says {stated.get(key)}."
                )
    preprocess: Mapping[str, Any] = config.get("preprocess_cfg", {})
    return preprocess


def _builds_same(key: str, a: Any, b: Any) -> bool:
    """Whether two values of a key build the same model, with defaults filled in."""
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    config_class = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg}.get(key)
    if config_class:
        return bool(config_class(**a) == config_class(**b))
    return bool(a == b or (not a and not b))


def _repository_config(spec: BackboneSpec, *, offline: bool) -> dict[str, Any]:
    repository = spec.architecture.removeprefix(HUB_PREFIX)
    revision = spec.weights.revision if spec.weights and spec.weights.hub == repository else None
    path = hub_file(f"backbone {spec.name!r}", repository, [CONFIG_FILE], revision, offline=offline)
    config: dict[str, Any] = json.loads(path.read_bytes())
    return config


def _state(name: str, file: Path) -> dict[str, torch.Tensor]:
    state = read_tensors(name, file)
    if not all(key.startswith(WRAPPER_PREFIX) for key in state):
        return state
    return {key.removeprefix(WRAPPER_PREFIX): tensor for key, tensor in state.items()}


def _resized(tower: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Resize position embeddings to the tower's input size, as open_clip does."""
    import open_clip

    named = {IMAGE_PREFIX + name: tensor for name, tensor in state.items()}
    if "positional_embedding" in state:
        open_clip.model.resize_pos_embed(named, SimpleNamespace(visual=tower))
    return {name.removeprefix(IMAGE_PREFIX): tensor for name, tensor in named.items()}
