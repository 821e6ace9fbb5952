"""Backbones from transformers: a hub repository, or a local folder in its layout.

Such a folder contains `config.json`, the weights and, often, `preprocessor_config.json`.
`architecture` is transformers' model type; `options` are values of its configuration, which must
agree with the repository's own. No code of the repository is run.
"""

import inspect
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.loaders.image_processor import Adopted, adopt
from bob.backbones.loaders.transformers_preprocessing import Combined, combine
from bob.backbones.pixels.geometry import Geometry
from bob.backbones.weights.layouts import prefixes_to_drop
from bob.backbones.weights.positions import Resampling, require_requested
from bob.backbones.weights.read import read_checkpoint
from bob.backbones.weights.tensors import State, listed
from bob.errors import (
    BackboneError,
    ConfigError,
    OutputError,
    UnavailableError,
    first_line,
    nearest,
)
from bob.io.hub import hub_snapshot
from bob.io.stamps import stamps
from bob.specs import DEFAULT, GRID, KEYS, BackboneSpec, Output

CONFIG = "config.json"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Files that may state the preprocessing."""
MAP_OUTPUTS = (DEFAULT, GRID)
TOKEN_OUTPUTS = (
    Output(pool="cls"),
    Output(pool="mean_patch"),
    Output(pool="cls+mean_patch"),
    GRID,
)
KEY_PROJECTIONS = ("k_proj", "key")
"""Names that the library gives to the projection of keys."""
INTERPOLATE = "interpolate_pos_encoding"
"""Argument of models that resample their position embedding on request only."""


class TransformersFeatures(nn.Module):
    """The last hidden states of a vision model: rows (B, D) or grids (B, H, W, D).

    Of tokens (B, N, D), `cls` is the first and the patches are the last (H / patch) x (W / patch),
    so that register tokens are excluded. Of feature maps (B, D, H, W), `default` is the mean over
    positions. Intermediate layers are not offered: whether the final norm applies to them differs
    between model types. `keys` are those of the patch tokens in the last attention, as its
    projection gives them: before their rotation, where there is any.
    """

    def __init__(
        self, model: nn.Module, name: str, *, is_bgr: bool = False, interpolates: bool = False
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.name = name
        self.is_bgr = is_bgr
        """Whether the model sees the channels as blue, green, red."""
        self.options = {INTERPOLATE: True} if interpolates else {}

    def patch_px(self) -> int | None:
        """Return the side of a patch in pixels; None for models without patches."""
        side = getattr(self.model.config, "patch_size", None)
        return None if side is None else _pair(side)[0]

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        pixels = x.flip(1) if self.is_bgr else x
        keys: list[torch.Tensor] = []
        projection = self._key_projection() if KEYS in outputs else None
        handle = projection and projection.register_forward_hook(lambda *of: keys.append(of[-1]))
        try:
            states = self.model(pixel_values=pixels, **self.options).last_hidden_state
        finally:
            if handle:
                handle.remove()
        available, kind = self.available(states, x.shape[-2:])
        refuse_outputs(self.name, outputs, available, kind)
        if states.ndim == 4:
            return {output: self._from_map(states, output) for output in outputs}
        if keys and keys[-1].shape[:-1] != states.shape[:-1]:
            raise OutputError(
                f"backbone {self.name!r}: output 'keys' needs a last attention over all patches; "
                f"its keys have the shape {tuple(keys[-1].shape)}, the tokens "
                f"{tuple(states.shape)}."
            )
        return {
            output: self._from_tokens(keys[-1], GRID, x.shape[-2:])
            if output == KEYS
            else self._from_tokens(states, output, x.shape[-2:])
            for output in outputs
        }

    def _key_projection(self) -> nn.Module | None:
        """Return the projection of keys of the last of the numbered layers; None without one.

        A pooling head, which has a projection too, is not numbered.
        """
        projections = [
            module
            for path, module in self.model.named_modules()
            if path.split(".")[-1] in KEY_PROJECTIONS
            and any(part.isdigit() for part in path.split("."))
        ]
        return projections[-1] if projections else None

    def available(
        self, states: torch.Tensor, size_px: Sequence[int]
    ) -> tuple[tuple[Output, ...], str]:
        """Return the outputs that can be read from hidden states, and what kind of model it is."""
        if states.ndim == 4:
            return MAP_OUTPUTS, "a model with feature maps"
        height, width = self._grid(size_px)
        outputs = (*TOKEN_OUTPUTS, *([KEYS] if self._key_projection() else []))
        if states.shape[1] > height * width:
            return outputs, "a model with tokens"
        without_class = tuple(output for output in outputs if "cls" not in output.pool)
        return without_class, "a model without a class token"

    def _grid(self, size_px: Sequence[int]) -> tuple[int, int]:
        """Return the number of patches along height and width."""
        patch_px = _pair(self.model.config.patch_size)
        return size_px[0] // patch_px[0], size_px[1] // patch_px[1]

    def _from_map(self, states: torch.Tensor, output: Output) -> torch.Tensor:
        return states.permute(0, 2, 3, 1) if output.is_grid else states.mean(dim=(2, 3))

    def _from_tokens(
        self, states: torch.Tensor, output: Output, size_px: Sequence[int]
    ) -> torch.Tensor:
        height, width = self._grid(size_px)
        patches = states[:, -height * width :]
        if output.is_grid:
            return patches.reshape(len(states), height, width, -1)
        parts = {"cls": states[:, 0], "mean_patch": patches.mean(dim=1)}
        return torch.cat([parts[part] for part in output.pool.split("+")], dim=1)


@dataclass(frozen=True)
class Fault:
    """What of a repository and its entry does not fit."""

    text: str
    remedy: str | None = None
    """What to write in the entry; None where that is of no use."""


@dataclass(frozen=True)
class Configuration:
    """A repository's `config.json`."""

    model: Any
    """Configuration of the vision model."""
    declared: Any
    """Configuration of the class that was saved, of which the vision model may be a part."""
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
    by name; none of the model's keeps its initial value. BackboneError with all that does not fit
    at once, and what to write in the entry.
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
    module = TransformersFeatures(
        model,
        spec.name,
        is_bgr=preprocessing.is_bgr,
        interpolates=bool(positions.tensors) and _interpolates_on_request(model),
    )
    return Loaded(
        module,
        preprocessing.geometry,
        preprocessing.normalisation,
        f"transformers {library.__version__}",
        {**positions.facts(), **({"channels": "BGR"} if preprocessing.is_bgr else {})},
    )


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
        for config in (declared, getattr(declared, "vision_config", None)):
            if getattr(config, "model_type", None) == spec.architecture:
                return Configuration(config, declared, names)
    raise BackboneError(
        f"backbone {spec.name!r}: architecture is {spec.architecture!r}; "
        f"{CONFIG} says {model_type!r}."
    )


def _option_faults(spec: BackboneSpec, config: Any) -> Iterator[Fault]:
    for key, value in spec.options.items():
        if (stated := getattr(config, key, None)) != value:
            text = f"options.{key} is {value!r}; {CONFIG} says {stated!r}"
            yield Fault(text, f"options: {{{key}: {json.dumps(stated, default=str)}}}")


# --- tensors


def _fill(spec: BackboneSpec, library: Any, configuration: Configuration, state: State) -> Filled:
    """Return the model filled from tensors, and those that do not fit.

    Shapes that differ are reported too, rather than raised, so that all faults can be told.
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
    known = _known_names(library, configuration, model)
    unexpected = sorted(report["unexpected_keys"])
    mismatched = [
        f"{name} is {tuple(shape)}, not {tuple(expected)}"
        for name, shape, expected in sorted(report["mismatched_keys"])
    ]
    heads = [name for name in unexpected if _plain(model, name) in known]
    others = [name for name in unexpected if name not in heads]
    return Filled(model, sorted(report["missing_keys"]), others, mismatched, heads)


def _is_new(library: Any) -> bool:
    return int(library.__version__.split(".")[0]) >= 5


def _own_memory(model: nn.Module) -> None:
    """Copy the tensors out of the file, which is mapped and could be overwritten."""
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.clone()


def _known_names(library: Any, configuration: Configuration, model: Any) -> set[str]:
    """Return the tensors of the class that was saved, with its heads, and of the pooler."""
    made = [_on_meta(type(model), configuration.model)]
    for name in configuration.class_names:
        try:
            made.append(_on_meta(getattr(library, name), configuration.declared))
        except Exception:  # no class of this library, or one that cannot be made so
            continue
    return {_plain(model, name) for one in made for name in one.state_dict()}


def _plain(model: Any, name: str) -> str:
    """Return a tensor's name without the prefix that it has in a model with a head."""
    return name.removeprefix(f"{model.base_model_prefix}.")


def _on_meta(make: Any, config: Any) -> Any:
    with torch.device("meta"):
        return make(config)


def _without_pooler(make: Any, config: Any) -> Any:
    """Make a model without the pooler that some model types have behind the last hidden states.

    No output reads it, and files often lack it.
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
    side = _pair(spec.preprocessing.input_px or getattr(config, "image_size", None) or 224)
    size = (geometry.height_px, geometry.width_px) if geometry else side
    try:
        model = _on_meta(
            lambda config: _without_pooler(library.AutoModel.from_config, config), config
        ).eval()
        module = TransformersFeatures(
            model, spec.name, interpolates=_interpolates_on_request(model)
        )
        with torch.inference_mode():
            x = torch.zeros(1, 3, *size, device="meta")
            states = model(pixel_values=x, **module.options).last_hidden_state
        available, kind = module.available(states, size)
    except Exception:  # what an outline cannot run is checked when the backbone runs
        return
    if spec.output not in available:
        outputs = ", ".join(map(str, available))
        text = f"{kind} has no output {str(spec.output)!r}; available: {outputs}"
        yield Fault(text, f"output: {available[0]}")


def _error(spec: BackboneSpec, folder: Path, faults: Collection[Fault]) -> BackboneError:
    """Return all faults in one error, with the lines that the entry needs."""
    texts = [fault.text for fault in faults]
    remedies = [fault.remedy for fault in faults if fault.remedy]
    numbered = "; ".join(f"({i}) {text}" for i, text in enumerate(texts, 1))
    return BackboneError(
        f"backbone {spec.name!r}: {texts[0] if len(texts) == 1 else numbered}."
        + (f" Write in the entry: {'; '.join(remedies)}." if remedies else "")
    )


def _positions(spec: BackboneSpec, model: Any, geometry: Geometry) -> Resampling:
    """Return what the model's forward pass resamples for crops of this size.

    Models that do so on request only are refused at another size unless the entry states it.
    """
    config, size = model.config, (geometry.height_px, geometry.width_px)
    trained = _pair(getattr(config, "image_size", None) or size)
    names = [name for name in model.state_dict() if "position_embed" in name]
    if trained == size or not names or getattr(config, "patch_size", None) is None:
        return Resampling()
    patch = _pair(config.patch_size)
    before, after = ((a // patch[0]) * (b // patch[1]) for a, b in (trained, size))
    shape = tuple(model.state_dict()[names[0]].shape)
    resampled = (*shape[:-2], shape[-2] - before + after, shape[-1])
    positions = Resampling({names[0]: (shape, resampled)})
    if _interpolates_on_request(model):
        require_requested(spec, positions, geometry.height_px)
    return positions


def _interpolates_on_request(model: Any) -> bool:
    return INTERPOLATE in inspect.signature(model.forward).parameters


def _pair(value: Any) -> tuple[int, int]:
    """Return a size along height and width, of which configurations state one or both."""
    if isinstance(value, Mapping):
        return int(value["height"]), int(value["width"])
    return (int(value[0]), int(value[1])) if isinstance(value, list | tuple) else (value, value)
