"""Backbones from open_clip: the image tower before and after its projection, and the text tower.

An architecture is one of open_clip's names, with `options` that replace parts of its configuration,
or `hf-hub:owner/name` for a repository with an `open_clip_config.json`. Only the image tower is
built for images; the text tower is loaded from the same file when there are texts to embed.
"""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from bob.backbones.backbone import Loaded
from bob.backbones.loaders.open_clip_text import IMAGE_PREFIX, load_text
from bob.backbones.loaders.towers import tower_features
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.text import TextTower
from bob.backbones.weights.positions import (
    Resampling,
    position_mismatches,
    require_requested,
    resampling,
)
from bob.backbones.weights.read import Checkpoint, read_checkpoint, without_wrapper
from bob.backbones.weights.tensors import State, load_strictly
from bob.errors import BackboneError, ConfigError, nearest
from bob.io.hub import hub_file, optional_file
from bob.io.stamps import Stamp, stamps
from bob.specs import BackboneSpec
from bob.specs.backbone import HUB_PREFIX

CONFIG_FILE = "open_clip_config.json"
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
    files: Mapping[str, Stamp] = field(default_factory=dict)
    """Configuration files of repositories that were read, by path."""


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Load the image tower, every tensor by name; the text tower is loaded on demand."""
    if file is None:
        raise ConfigError(
            f"backbone {spec.name!r}: 'weights' is missing: give hub, tag, url, file or package."
        )
    config, checkpoint = load_config(spec, offline=offline), _checkpoint(spec, file)
    tower = _tower(spec, config)
    image = {
        name.removeprefix(IMAGE_PREFIX): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith(IMAGE_PREFIX)
    }
    positions = _fill(spec, tower, image)

    def text() -> TextTower:
        return load_text(spec, config.model, _checkpoint(spec, file).tensors, offline=offline)

    return replace(
        _loaded(spec, config, tower, text),
        forward=positions.facts(),
        notes=(*checkpoint.notes, *positions.notes()),
        files=config.files,
    )


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Build the image tower without weights, on torch's current default device."""
    config = load_config(spec, offline=offline)
    tower = _tower(spec, config)
    if spec.preprocessing.input_px and hasattr(tower, "trunk"):
        tower.set_input_size(spec.preprocessing.input_px)
    return _loaded(spec, config, tower, None)


def load_config(spec: BackboneSpec, *, offline: bool) -> OpenClipConfig:
    """Return open_clip's configuration of the architecture and of the tag's preprocessing.

    For `hf-hub:owner/name`, that of the repository.
    """
    import open_clip

    files: Mapping[str, Stamp] = {}
    if spec.architecture.startswith(HUB_PREFIX):
        config, files = _repository_config(spec, offline=offline)
        model, preprocess = config["model_cfg"], config.get("preprocess_cfg", {})
    else:
        model = open_clip.get_model_config(spec.architecture)
        if model is None:
            raise ConfigError(
                f"backbone {spec.name!r}: open_clip {open_clip.__version__} has no architecture "
                f"{spec.architecture!r}{nearest(spec.architecture, open_clip.list_models())}"
            )
        preprocess = _tag_config(spec, model)
        if not preprocess:
            preprocess, files = _repository_preprocessing(
                spec, {**model, **spec.options}, offline=offline
            )
    if "multimodal_cfg" in model:
        raise ConfigError(
            f"backbone {spec.name!r}: {spec.architecture!r} has a captioning decoder (CoCa), "
            "which this loader does not read."
        )
    return OpenClipConfig({**deepcopy(model), **deepcopy(dict(spec.options))}, preprocess, files)


def _tower(spec: BackboneSpec, config: OpenClipConfig) -> Any:
    """Build the image tower; one of timm at the size of its configuration."""
    import open_clip

    model, input_px = config.model, spec.preprocessing.input_px
    vision = {**model["vision_cfg"], "timm_model_pretrained": False}
    return open_clip.model._build_vision_tower(
        model["embed_dim"],
        {**vision, "image_size": input_px or vision["image_size"]},
        model.get("quick_gelu", False),
    )


def _fill(spec: BackboneSpec, tower: Any, image: State) -> Resampling:
    """Fill the tower tensor by tensor, and adapt it to the entry's input size as open_clip does.

    A tower of timm is adapted once it is filled, unless its weights are for that size already.
    """
    input_px = spec.preprocessing.input_px
    if hasattr(tower, "trunk"):
        is_early = bool(list(position_mismatches(image, tower.state_dict())))
        if input_px and is_early:
            tower.set_input_size(input_px)
        load_strictly(spec.name, tower, image, spec.architecture)
        if input_px and not is_early:
            tower.set_input_size(input_px)
        return resampling(image, tower.state_dict())
    resized = _resized(tower, image)
    load_strictly(spec.name, tower, resized, spec.architecture)
    positions = resampling(image, resized)
    is_published = spec.weights is not None and spec.weights.tag is not None
    if not is_published and not spec.architecture.startswith(HUB_PREFIX):
        require_requested(spec, positions, _side(tower.image_size))
    return positions


def _side(image_size: int | tuple[int, int]) -> int:
    return image_size[0] if isinstance(image_size, tuple) else image_size


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
) -> tuple[Mapping[str, Any], Mapping[str, Stamp]]:
    """Return the preprocessing that the weights' own repository states; empty if it states none.

    Beside it, the file that states it.

    BackboneError where the repository describes another model than the entry.
    """
    weights = spec.weights
    if weights is None or weights.hub is None or weights.tag is not None:
        return {}, {}
    path = optional_file(
        f"backbone {spec.name!r}", weights.hub, CONFIG_FILE, weights.revision, offline=offline
    )
    files = stamps([path]) if path else {}
    config = json.loads(path.read_bytes()) if path else {}
    if stated := config.get("model_cfg"):
        for key in MODEL_KEYS:
            if not _builds_same(key, model.get(key), stated.get(key)):
                raise BackboneError(
                    f"backbone {spec.name!r}: {key} is {model.get(key)}; "
                    f"{CONFIG_FILE} of {weights.hub!r} says {stated.get(key)}."
                )
    return config.get("preprocess_cfg", {}), files


def _builds_same(key: str, a: Any, b: Any) -> bool:
    """Whether two values of a key build the same model, with defaults filled in."""
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    config_class = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg}.get(key)
    if config_class:
        return bool(config_class(**a) == config_class(**b))
    return bool(a == b or (not a and not b))


def _repository_config(
    spec: BackboneSpec, *, offline: bool
) -> tuple[dict[str, Any], Mapping[str, Stamp]]:
    repository = spec.architecture.removeprefix(HUB_PREFIX)
    revision = spec.weights.revision if spec.weights and spec.weights.hub == repository else None
    path = hub_file(f"backbone {spec.name!r}", repository, [CONFIG_FILE], revision, offline=offline)
    files = stamps([path])
    return json.loads(path.read_bytes()), files


def _checkpoint(spec: BackboneSpec, file: Path) -> Checkpoint:
    key = spec.weights.state_dict if spec.weights else None
    tensors, notes = read_checkpoint(spec.name, file, key)
    return Checkpoint(without_wrapper(tensors), notes)


def _resized(tower: Any, state: State) -> dict[str, torch.Tensor]:
    """Resize position embeddings to the tower's input size, as open_clip does."""
    import open_clip

    named = {IMAGE_PREFIX + name: tensor for name, tensor in state.items()}
    if "positional_embedding" in state:
        open_clip.model.resize_pos_embed(named, SimpleNamespace(visual=tower))
    return {name.removeprefix(IMAGE_PREFIX): tensor for name, tensor in named.items()}
