"""Backbones from open_clip: the image tower before and after its projection, and the text tower beside it.

An architecture is a name of open_clip's, with `options` in place of parts of its configuration, or `hf-hub:owner/name` for a repository with
an `open_clip_config.json`. Only the image tower is built for images; the text tower is loaded from the same file when texts come.
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
from bob.backbones.loaders.open_clip_text import load_text
from bob.backbones.loaders.towers import rows_of
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.text import TextTower
from bob.backbones.weights.tensors import load_strictly, read_tensors
from bob.errors import BackboneError, ConfigError, nearest
from bob.io.hub import hub_file, optional_file
from bob.specs import BackboneSpec
from bob.specs.backbone import HUB_PREFIX

CONFIG_FILE = "open_clip_config.json"
IMAGE, WRAPPED = "visual.", "module."
"""Prefixes in open_clip's files: of the image tower's tensors, and of all tensors where the model was saved as it was trained, in parallel."""
RESIZE_MODES = {"shortest": "center", "squash": "squash"}
"""open_clip's resize modes as timm's crop modes. `longest` has no equal: open_clip pads with black, timm with the mean."""


@dataclass(frozen=True)
class Config:
    """What open_clip knows of a model: `model` builds it, `preprocess` overrides open_clip's default preprocessing."""

    model: Mapping[str, Any]
    preprocess: Mapping[str, Any]


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """The image tower with its weights, every tensor by name, and a way to the text tower."""
    if file is None:
        raise ConfigError(
            f"backbone {spec.name!r}: 'weights' is missing: give hub, tag, url, file or package."
        )
    config, state = config_of(spec, offline=offline), _state(spec.name, file)
    tower = _tower(spec, config)
    image = {
        name.removeprefix(IMAGE): tensor for name, tensor in state.items() if name.startswith(IMAGE)
    }
    load_strictly(spec.name, tower, _resized(tower, image), spec.architecture)
    return _outlined(
        spec,
        config,
        tower,
        lambda: load_text(spec, config.model, _state(spec.name, file), offline=offline),
    )


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """The image tower without its weights, on torch's current default device."""
    config = config_of(spec, offline=offline)
    return _outlined(spec, config, _tower(spec, config), None)


def config_of(spec: BackboneSpec, *, offline: bool) -> Config:
    """open_clip's own configuration of the architecture and of the tag's preprocessing, or that of the repository."""
    import open_clip

    if spec.architecture.startswith(HUB_PREFIX):
        found = _repository_config(spec, offline=offline)
        model, preprocess = found["model_cfg"], found.get("preprocess_cfg", {})
    else:
        model = open_clip.get_model_config(spec.architecture)
        if model is None:
            near = nearest(spec.architecture, open_clip.list_models())
            raise ConfigError(
                f"backbone {spec.name!r}: open_clip {open_clip.__version__} has no architecture {spec.architecture!r}{near}"
            )
        preprocess = _tag_config(spec, model) or _agreed_preprocessing(
            spec, {**model, **spec.options}, offline=offline
        )
    if "multimodal_cfg" in model:
        raise ConfigError(
            f"backbone {spec.name!r}: {spec.architecture!r} has a captioning decoder (CoCa), which this loader does not read."
        )
    return Config({**deepcopy(model), **deepcopy(dict(spec.options))}, preprocess)


def _tower(spec: BackboneSpec, config: Config) -> Any:
    import open_clip

    model, size = config.model, spec.preprocessing.input_px
    vision = {**model["vision_cfg"], "timm_model_pretrained": False}
    tower = open_clip.model._build_vision_tower(
        model["embed_dim"],
        {**vision, "image_size": size or vision["image_size"]},
        model.get("quick_gelu", False),
    )
    if size and hasattr(tower, "trunk"):
        tower.set_input_size(size)
    return tower


def _outlined(
    spec: BackboneSpec, config: Config, tower: Any, text: Callable[[], TextTower] | None
) -> Loaded:
    import open_clip
    import timm

    size = tower.image_size
    geometry, normalisation = _preprocessing(
        spec, config, size if isinstance(size, tuple) else (size, size)
    )
    return Loaded(
        rows_of(spec.name, tower),
        geometry,
        normalisation,
        f"open_clip {open_clip.__version__}, timm {timm.__version__}",
        text=text,
    )


def _preprocessing(
    spec: BackboneSpec, config: Config, size_px: tuple[int, int]
) -> tuple[Geometry, Normalisation]:
    """open_clip's own preprocessing of the weights, with the spec's overrides."""
    from open_clip.transform import PreprocessCfg

    theirs = PreprocessCfg(
        **{
            name: value
            for name, value in config.preprocess.items()
            if name in PreprocessCfg.__dataclass_fields__
        }
    )
    own = spec.preprocessing
    crop_mode = own.crop_mode or RESIZE_MODES.get(theirs.resize_mode)
    if crop_mode is None:
        raise ConfigError(
            f"backbone {spec.name!r}: resize_mode {theirs.resize_mode!r} has no equal here; give preprocessing.crop_mode."
        )
    geometry = Geometry(
        *size_px, own.crop_pct or 1.0, crop_mode, own.interpolation or theirs.interpolation
    )
    return geometry, Normalisation(tuple(own.mean or theirs.mean), tuple(own.std or theirs.std))


def _tag_config(spec: BackboneSpec, model: Mapping[str, Any]) -> Mapping[str, Any]:
    """What open_clip says of the tag's preprocessing; its activation must be the architecture's, or every feature would be off."""
    import open_clip

    if spec.weights is None or spec.weights.tag is None:
        return {}
    found: Mapping[str, Any] = open_clip.get_pretrained_cfg(spec.architecture, spec.weights.tag)
    if found.get("quick_gelu", False) and not {**model, **spec.options}.get("quick_gelu", False):
        raise ConfigError(
            f"backbone {spec.name!r}: tag {spec.weights.tag!r} was trained with QuickGELU, architecture {spec.architecture!r} has GELU; "
            f"use '{spec.architecture}-quickgelu'."
        )
    return found


def _agreed_preprocessing(
    spec: BackboneSpec, model: Mapping[str, Any], *, offline: bool
) -> Mapping[str, Any]:
    """What the weights' own repository says of preprocessing; its model must be the entry's. Nothing where it says nothing."""
    weights = spec.weights
    if weights is None or weights.hub is None or weights.tag is not None:
        return {}
    path = optional_file(
        f"backbone {spec.name!r}", weights.hub, CONFIG_FILE, weights.revision, offline=offline
    )
    told = json.loads(path.read_bytes()) if path else {}
    theirs, shaping = (
        told.get("model_cfg", {}),
        ("embed_dim", "vision_cfg", "quick_gelu", "text_cfg", "custom_text"),
    )
    if wrong := [
        key for key in shaping if theirs and not _same_part(key, model.get(key), theirs.get(key))
    ]:
        raise BackboneError(
            f"backbone {spec.name!r}: {wrong[0]} is {model.get(wrong[0])}; {CONFIG_FILE} of {weights.hub!r} says {theirs.get(wrong[0])}."
        )
    preprocess: Mapping[str, Any] = told.get("preprocess_cfg", {})
    return preprocess


def _same_part(key: str, ours: Any, theirs: Any) -> bool:
    """Whether two values of a model's configuration build the same, defaults filled in."""
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    whole = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg}.get(key)
    return (
        (whole(**ours) == whole(**theirs))
        if whole
        else bool(ours == theirs or (not ours and not theirs))
    )


def _repository_config(spec: BackboneSpec, *, offline: bool) -> dict[str, Any]:
    repository = spec.architecture.removeprefix(HUB_PREFIX)
    revision = spec.weights.revision if spec.weights and spec.weights.hub == repository else None
    path = hub_file(f"backbone {spec.name!r}", repository, [CONFIG_FILE], revision, offline=offline)
    config: dict[str, Any] = json.loads(path.read_bytes())
    return config


def _state(name: str, file: Path) -> dict[str, torch.Tensor]:
    state = read_tensors(name, file)
    wrapped = all(key.startswith(WRAPPED) for key in state)
    return (
        {key.removeprefix(WRAPPED): tensor for key, tensor in state.items()} if wrapped else state
    )


def _resized(tower: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Position embeddings for the tower's input size, as open_clip resizes them; all else as it is."""
    import open_clip

    named = {IMAGE + name: tensor for name, tensor in state.items()}
    if "positional_embedding" in state:
        open_clip.model.resize_pos_embed(named, SimpleNamespace(visual=tower))
    return {name.removeprefix(IMAGE): tensor for name, tensor in named.items()}
