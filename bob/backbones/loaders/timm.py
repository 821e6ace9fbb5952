"""Backbones from timm: any architecture, or a hub repository (`hf-hub:owner/name`) in its layout.

Weights come from the hub, a file, an installed package, or a seeded random initialisation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bob.backbones.backbone import Loaded
from bob.backbones.loaders.timm_features import TimmFeatures
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.timm_library import import_timm
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
from bob.errors import BackboneError, ConfigError, nearest
from bob.io.hub import hub_file
from bob.io.stamps import Stamp, stamps
from bob.specs import BackboneSpec
from bob.specs.backbone import HUB_PREFIX

CONFIG_FILE = "config.json"
_CONVERSION_ERRORS = (RuntimeError, KeyError, ValueError, AttributeError, TypeError)
"""What timm's conversions raise on tensors of another architecture."""


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
    import_timm()
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
    import_timm()
    from timm.models._hub import load_model_config_from_path

    repository = spec.architecture.removeprefix(HUB_PREFIX)
    revision = spec.weights.revision if spec.weights and spec.weights.hub == repository else None
    file = hub_file(f"backbone {spec.name!r}", repository, [CONFIG_FILE], revision, offline=offline)
    files = stamps([file])
    config, name, options = load_model_config_from_path(file.parent)
    return Architecture(name, {**options, **spec.options, "pretrained_cfg": config}, files)


def _loaded(spec: BackboneSpec, model: Any) -> Loaded:
    timm = import_timm()

    geometry, normalisation = preprocessing(spec, model.pretrained_cfg)
    return Loaded(
        TimmFeatures(model, spec.name), geometry, normalisation, f"timm {timm.__version__}"
    )


def _create(spec: BackboneSpec, architecture: Architecture, **options: Any) -> Any:
    """Build a timm model, for the spec's input size where the architecture depends on it."""
    timm = import_timm()

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

    The state of torch's global generator is restored.
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
    """Build a model and load tensors that fit by name, directly or after timm's own conversion.

    BackboneError if they do not fit. No parameter keeps its initial value. The file's classifier
    may have any number of classes.
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
    if (in_file := _classes_in(state)) not in (None, n_classes):
        attempts.append(
            partial(_converted, spec, architecture, state, in_file, num_classes=in_file)
        )
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

    timm loads strictly only if the configuration names no classifier of another size.
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
    timm = import_timm()

    name = spec.architecture.split(".")[0]
    if not timm.is_model(name):
        raise ConfigError(
            f"backbone {spec.name!r}: timm {timm.__version__} has no architecture {name!r}"
            f"{nearest(name, timm.list_models())}"
        )
