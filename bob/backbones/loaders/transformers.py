"""Backbones from transformers: a hub repository, or a local folder in its layout.

Such a folder contains `config.json`, the weights and, often, `preprocessor_config.json`.
`architecture` is transformers' model type; `options` are values of its configuration, which must
agree with the repository's own. No code of the repository is run.
"""

import copy
import inspect
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded
from bob.backbones.loaders.image_processor import Adopted, adopt
from bob.backbones.loaders.transformers_features import (
    INTERPOLATE,
    TransformersFeatures,
    height_width,
)
from bob.backbones.loaders.transformers_preprocessing import Combined, combine
from bob.backbones.pixels.geometry import Geometry
from bob.backbones.weights.layouts import prefixes_to_drop
from bob.backbones.weights.positions import Resampling, require_requested
from bob.backbones.weights.read import read_checkpoint
from bob.backbones.weights.tensors import State, listed
from bob.errors import (
    BackboneError,
    ConfigError,
    UnavailableError,
    first_line,
    nearest,
)
from bob.io.hub import hub_snapshot
from bob.io.stamps import stamps
from bob.specs import BackboneSpec

CONFIG = "config.json"
POOLER = "pooler"
"""Name of modules behind the last hidden states, which are no part of the backbone."""
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Files that may state the preprocessing."""


@dataclass(frozen=True)
class Fault:
    """A mismatch between an entry, its repository and the library."""

    text: str
    remedy: str | None = None
    """What to write in the entry; None if no change of the entry would help."""


@dataclass(frozen=True)
class Configuration:
    """A repository's `config.json`."""

    model: Any
    """Configuration of the vision model."""
    declared: Any
    """Configuration of the class that was saved; the vision model may be a part of that class."""
    class_names: tuple[str, ...]
    """Names of the class that was saved."""


@dataclass(frozen=True)
class Filled:
    """A model with the tensors of a file, and what did not fit."""

    model: Any
    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]
    heads: list[str]
    """Tensors of the file that the library knows as parts of a head or pooler."""


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Load the model that the repository describes, with the tensors of the entry's file.

    Every tensor of the file is used, or belongs to a head that the library defines, or is dropped
    by name. No tensor of the model keeps its initial value. BackboneError lists every mismatch, and
    what to write in the entry.
    """
    library = _library(spec.name)
    if file is None or spec.weights is None:
        raise ConfigError(
            f"backbone {spec.name!r}: loader transformers needs weights: give hub or file."
        )
    folder = _folder(spec, file, offline=offline)
    files = stamps(folder / name for name in (CONFIG, *PREPROCESSORS))
    configuration = _read_config(spec, library, folder)
    checkpoint = read_checkpoint(spec.name, file, spec.weights.state_dict)
    filled = _fill(spec, library, configuration, checkpoint.tensors)
    processor = _adopt(library, folder)
    preprocessing = combine(spec.preprocessing, processor)
    faults = [
        *_option_faults(spec, configuration.model),
        *_tensor_faults(spec, filled),
        *_preprocessing_faults(processor, preprocessing),
        *_output_faults(spec, library, configuration.model, preprocessing),
    ]
    if faults:
        raise _error(spec, folder, faults)
    assert preprocessing.geometry
    positions = _positions(spec, filled.model, preprocessing.geometry)
    loaded = _loaded(spec, library, filled.model, preprocessing, positions)
    notes = (*checkpoint.notes, *_head_notes(filled), *positions.notes(), *preprocessing.notes)
    return Loaded(**{**vars(loaded), "notes": notes, "files": files})


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Build the model that the entry's options describe, on torch's current default device."""
    if missing := spec.preprocessing.missing():
        raise UnavailableError(
            f"backbone {spec.name!r}: {', '.join(missing)} of its preprocessing are in its "
            f"{PREPROCESSORS[0]}, which is read with its weights."
        )
    library = _library(spec.name)
    _check_model_type(spec, library)
    config = library.AutoConfig.for_model(spec.architecture, **dict(spec.options))
    model = _without_pooler(library.AutoModel.from_config, config)
    return _loaded(spec, library, model, combine(spec.preprocessing, Adopted()), Resampling())


def _loaded(
    spec: BackboneSpec, library: Any, model: Any, preprocessing: Combined, positions: Resampling
) -> Loaded:
    assert preprocessing.geometry and preprocessing.normalisation
    final_norm = _final_norm(library, model.config, preprocessing.geometry)
    module = TransformersFeatures(
        model,
        spec.name,
        is_bgr=preprocessing.is_bgr,
        interpolates=bool(positions.tensors) and _interpolates_on_request(model),
        final_norm=final_norm,
    )
    facts = {
        **positions.facts(),
        **({"channels": "BGR"} if preprocessing.is_bgr else {}),
        **({"final_norm": final_norm} if final_norm else {}),
    }
    return Loaded(
        module,
        preprocessing.geometry,
        preprocessing.normalisation,
        f"transformers {library.__version__}",
        facts,
    )


def _final_norm(library: Any, config: Any, geometry: Geometry) -> str | None:
    """Return the path of the last norm if it is applied to single rows (B, D) alone.

    It is found on an outline of the model, in the order in which its modules are called. A norm in
    a pooler is one of the head.
    """
    called: dict[str, int] = {}

    def note(path: str) -> Any:
        return lambda module, args: called.update({path: args[0].ndim})

    try:
        model = _outline_model(library, config)
        for path, module in model.named_modules():
            if type(module).__name__.endswith("Norm") and POOLER not in path.split("."):
                module.register_forward_pre_hook(note(path))
        features = TransformersFeatures(
            model, "outline", interpolates=_interpolates_on_request(model)
        )
        with torch.inference_mode():
            size = (geometry.height_px, geometry.width_px)
            features.states(torch.zeros(1, 3, *size, device="meta"))
    except Exception:  # what an outline cannot run is checked when the backbone runs
        return None
    rows_alone = [path for path, dimensions in called.items() if dimensions == 2]
    return rows_alone[-1] if rows_alone and rows_alone[-1] == [*called][-1] else None


def _outline_model(library: Any, config: Any) -> Any:
    """Return the model without its pooler and weights, which takes neither memory nor time."""
    return _on_meta(
        lambda config: _without_pooler(library.AutoModel.from_config, config), copy.deepcopy(config)
    ).eval()


# --- the library and the repository's configuration


def _library(name: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UnavailableError(
            f"backbone {name!r}: needs the package transformers; "
            "pip install 'bob-bench[transformers]'"
        ) from error
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # `load` reports what does not fit
    return transformers


def _check_model_type(spec: BackboneSpec, library: Any) -> None:
    model_types = list(library.models.auto.configuration_auto.CONFIG_MAPPING_NAMES)
    if spec.architecture not in model_types:
        raise ConfigError(
            f"backbone {spec.name!r}: transformers {library.__version__} has no model type "
            f"{spec.architecture!r}{nearest(spec.architecture, model_types)}"
        )


def _folder(spec: BackboneSpec, file: Path, *, offline: bool) -> Path:
    """Return the folder with the configuration of the weights."""
    weights = spec.weights
    if weights is None or weights.hub is None:
        return file.parent
    return hub_snapshot(
        f"backbone {spec.name!r}",
        weights.hub,
        [CONFIG],
        PREPROCESSORS,
        weights.revision,
        offline=offline,
    )


def _read_config(spec: BackboneSpec, library: Any, folder: Path) -> Configuration:
    """Return the folder's own configuration; BackboneError where it is of another model type.

    The vision model may be a part of the one that was saved, as in image-text models.
    """
    _check_model_type(spec, library)
    try:
        values = json.loads((folder / CONFIG).read_bytes())
        model_type, names = values.get("model_type"), tuple(values.get("architectures") or ())
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BackboneError(
            f"backbone {spec.name!r}: {str(folder / CONFIG)!r} cannot be read; "
            "without it the weights cannot be interpreted."
        ) from error
    if model_type in library.models.auto.configuration_auto.CONFIG_MAPPING_NAMES:
        declared = library.AutoConfig.for_model(**values)
        _require_vision(spec, declared)
        for config in (declared, getattr(declared, "vision_config", None)):
            if getattr(config, "model_type", None) == spec.architecture:
                return Configuration(config, declared, names)
    raise BackboneError(
        f"backbone {spec.name!r}: architecture is {spec.architecture!r}; "
        f"{CONFIG} says {model_type!r}."
    )


def _require_vision(spec: BackboneSpec, declared: Any) -> None:
    """Raise BackboneError where the architecture is that of an image-text model as a whole."""
    part = getattr(getattr(declared, "vision_config", None), "model_type", None)
    if part and declared.model_type == spec.architecture:
        raise BackboneError(
            f"backbone {spec.name!r}: {spec.architecture!r} is a model of images and texts. Write "
            f"in the entry: architecture: {part}."
        )


def _option_faults(spec: BackboneSpec, config: Any) -> Iterator[Fault]:
    for key, value in spec.options.items():
        if (stated := getattr(config, key, None)) != value:
            text = f"options.{key} is {value!r}; {CONFIG} says {stated!r}"
            yield Fault(text, f"options: {{{key}: {json.dumps(stated, default=str)}}}")


# --- tensors


def _fill(spec: BackboneSpec, library: Any, configuration: Configuration, state: State) -> Filled:
    """Return the model filled from tensors, and the names of those that do not fit.

    A difference in shape is reported instead of raised, so that one error lists all mismatches.
    """
    config = configuration.model
    model_class = type(_on_meta(library.AutoModel.from_config, config))
    dtype = "dtype" if _is_new(library) else "torch_dtype"

    def read(config: Any, **options: Any) -> Any:
        return model_class.from_pretrained(
            None,
            config=config,
            state_dict=dict(state),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **{dtype: torch.float32},
            **options,
        )

    try:
        model, report = _without_pooler(read, config)
    except (OSError, RuntimeError, ValueError) as error:
        raise BackboneError(
            f"backbone {spec.name!r}: its tensors do not load ({first_line(error)})."
        ) from error
    _own_memory(model)
    head_names = _names_with_heads(library, configuration, model)
    unexpected = sorted(report["unexpected_keys"])
    mismatched = [
        f"{name} is {tuple(shape)}, not {tuple(expected)}"
        for name, shape, expected in sorted(report["mismatched_keys"])
    ]
    heads = [name for name in unexpected if _plain(model, name) in head_names]
    others = [name for name in unexpected if name not in heads]
    return Filled(model, sorted(report["missing_keys"]), others, mismatched, heads)


def _is_new(library: Any) -> bool:
    return int(library.__version__.split(".")[0]) >= 5


def _own_memory(model: nn.Module) -> None:
    """Copy the tensors out of the file, which is mapped and could be overwritten."""
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.clone()


def _names_with_heads(library: Any, configuration: Configuration, model: Any) -> set[str]:
    """Return the names of all tensors of the class that was saved, heads and pooler included."""
    outlines = [_on_meta(type(model), configuration.model)]
    for name in configuration.class_names:
        try:
            outlines.append(_on_meta(getattr(library, name), configuration.declared))
        except Exception:  # the library lacks the class, or cannot build it from a configuration
            continue
    return {_plain(model, name) for outline in outlines for name in outline.state_dict()}


def _plain(model: Any, name: str) -> str:
    """Return a tensor's name without the prefix that it has in a model with a head."""
    return name.removeprefix(f"{model.base_model_prefix}.")


def _on_meta(make: Any, config: Any) -> Any:
    with torch.device("meta"):
        return make(config)


def _without_pooler(make: Any, config: Any) -> Any:
    """Make a model without the pooler that some model types put after the last hidden states.

    No output reads the pooler, and many files lack its tensors.
    """
    try:
        return make(config, add_pooling_layer=False)
    except TypeError:
        return make(config)


def _tensor_faults(spec: BackboneSpec, filled: Filled) -> Iterator[Fault]:
    """Yield the tensors that do not fit, except those that the entry drops by name."""
    drop = spec.weights.drop if spec.weights else ()
    extra = [
        name
        for name in filled.unexpected
        if not name.startswith(drop) and not _plain(filled.model, name).startswith(drop)
    ]
    problems = [
        *(f"missing {name}" for name in filled.missing),
        *(f"unexpected {name}" for name in extra),
        *filled.mismatched,
    ]
    if problems:
        prefixes = prefixes_to_drop(extra, set(filled.model.state_dict())) if extra else None
        remedy = f"weights.drop: [{', '.join([*drop, *prefixes])}]" if prefixes else None
        yield Fault(
            f"the checkpoint does not fit architecture {spec.architecture!r}: {listed(problems)}",
            None if filled.missing or filled.mismatched else remedy,
        )


def _head_notes(filled: Filled) -> tuple[str, ...]:
    if not filled.heads:
        return ()
    parts = dict.fromkeys(_plain(filled.model, name).split(".")[0] for name in filled.heads)
    return (f"left out as parts of its head: {', '.join(parts)} ({len(filled.heads)} tensors)",)


# --- preprocessing and outputs


def _adopt(library: Any, folder: Path) -> Adopted:
    """Return the preprocessing of the folder's processor; an empty one where it has none."""
    if not any((folder / name).exists() for name in PREPROCESSORS):
        return Adopted()
    return adopt(library, folder)


def _preprocessing_faults(processor: Adopted, preprocessing: Combined) -> Iterator[Fault]:
    if not preprocessing.missing:
        return
    missing = ", ".join(preprocessing.missing)
    reason = processor.problem or f"there is no {PREPROCESSORS[0]}"
    fields = ", ".join(f"{name}: ..." for name in preprocessing.missing)
    yield Fault(f"{reason}; the entry must state {missing}", f"preprocessing: {{{fields}}}")


def _output_faults(
    spec: BackboneSpec, library: Any, config: Any, preprocessing: Combined
) -> Iterator[Fault]:
    """Check the output on an outline of the model, which costs neither memory nor time."""
    geometry = preprocessing.geometry
    side = height_width(spec.preprocessing.input_px or getattr(config, "image_size", None) or 224)
    size = (geometry.height_px, geometry.width_px) if geometry else side
    try:
        model = _outline_model(library, config)
        module = TransformersFeatures(
            model, spec.name, interpolates=_interpolates_on_request(model)
        )
        with torch.inference_mode():
            x = torch.zeros(1, 3, *size, device="meta")
            states = module.states(x)
        available, kind = module.available(states, size)
    except Exception:  # what an outline cannot run is checked when the backbone runs
        return
    if spec.output not in available:
        outputs = ", ".join(map(str, available))
        text = f"{kind} has no output {str(spec.output)!r}; available: {outputs}"
        yield Fault(text, f"output: {available[0]}")


def _error(spec: BackboneSpec, folder: Path, faults: Collection[Fault]) -> BackboneError:
    """Return one error for all faults, with the lines to write in the entry."""
    texts = [fault.text for fault in faults]
    remedies = [fault.remedy for fault in faults if fault.remedy]
    numbered = "; ".join(f"({i}) {text}" for i, text in enumerate(texts, 1))
    return BackboneError(
        f"backbone {spec.name!r}: {texts[0] if len(texts) == 1 else numbered}."
        + (f" Write in the entry: {'; '.join(remedies)}." if remedies else "")
    )


def _positions(spec: BackboneSpec, model: Any, geometry: Geometry) -> Resampling:
    """Return the position embedding that the forward pass resamples for crops of this size.

    A model that resamples only on request is refused at another size than that of its training,
    unless the entry states the size.
    """
    config, size = model.config, (geometry.height_px, geometry.width_px)
    trained = height_width(getattr(config, "image_size", None) or size)
    names = [name for name in model.state_dict() if "position_embed" in name]
    if trained == size or not names or getattr(config, "patch_size", None) is None:
        return Resampling()
    patch = height_width(config.patch_size)
    before, after = ((a // patch[0]) * (b // patch[1]) for a, b in (trained, size))
    shape = tuple(model.state_dict()[names[0]].shape)
    resampled = (*shape[:-2], shape[-2] - before + after, shape[-1])
    positions = Resampling({names[0]: (shape, resampled)})
    if _interpolates_on_request(model):
        require_requested(spec, positions, geometry.height_px)
    return positions


def _interpolates_on_request(model: Any) -> bool:
    return INTERPOLATE in inspect.signature(model.forward).parameters
