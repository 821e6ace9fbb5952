"""Backbones from transformers: a hub repository, or a local folder in its layout.

Such a folder contains `config.json`, the weights and, often, `preprocessor_config.json`.
`architecture` is transformers' model type; `options` are values of its configuration, which must
agree with the repository's own. No code of the repository is run.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.loaders.preprocessing import geometry_and_normalisation, with_defaults
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.weights.tensors import mismatch_error
from bob.errors import BackboneError, ConfigError, UnavailableError, first_line, nearest
from bob.io.hub import hub_snapshot
from bob.specs import DEFAULT, GRID, BackboneSpec, Output

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, as in preprocessor_config.json."""
MAP_OUTPUTS = (DEFAULT, GRID)
TOKEN_OUTPUTS = (
    Output(pool="cls"),
    Output(pool="mean_patch"),
    Output(pool="cls+mean_patch"),
    GRID,
)


class TransformersFeatures(nn.Module):
    """The last hidden states of a vision model: rows (B, D) or grids (B, H, W, D).

    Of tokens (B, N, D), `cls` is the first and the patches are the last (H / patch) x (W / patch),
    so that register tokens are excluded. Of feature maps (B, D, H, W), `default` is the mean over
    positions. Intermediate layers are not offered: whether the final norm applies to them differs
    between model types.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model: Any = model
        self.name = name

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        states = self.model(pixel_values=x).last_hidden_state
        if states.ndim == 4:
            refuse_outputs(self.name, outputs, MAP_OUTPUTS, "a model with feature maps")
            return {output: self._from_map(states, output) for output in outputs}
        refuse_outputs(self.name, outputs, TOKEN_OUTPUTS, "a model with tokens")
        return {output: self._from_tokens(states, output, x.shape[-2:]) for output in outputs}

    def _from_map(self, states: torch.Tensor, output: Output) -> torch.Tensor:
        return states.permute(0, 2, 3, 1) if output.is_grid else states.mean(dim=(2, 3))

    def _from_tokens(
        self, states: torch.Tensor, output: Output, size_px: Sequence[int]
    ) -> torch.Tensor:
        patch_px = self.model.config.patch_size
        height, width = size_px[0] // patch_px, size_px[1] // patch_px
        patches = states[:, -height * width :]
        if output.is_grid:
            return patches.reshape(len(states), height, width, -1)
        if "cls" in output.pool and states.shape[1] <= height * width:
            raise BackboneError(
                f"backbone {self.name!r}: has no class token for output {str(output)!r}; "
                "use 'mean_patch'."
            )
        parts = {"cls": states[:, 0], "mean_patch": patches.mean(dim=1)}
        return torch.cat([parts[part] for part in output.pool.split("+")], dim=1)


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Load the model in the folder that contains the weights.

    Every tensor of the file is used or dropped by name, and none of the model's keeps its initial
    value.
    """
    library = _library(spec.name)
    if file is None or spec.weights is None:
        raise ConfigError(
            f"backbone {spec.name!r}: loader transformers needs weights: give hub or file."
        )
    folder = _folder(spec, file, offline=offline)
    config = _read_config(spec, library, folder)
    model, report = _from_folder(spec, library, folder, config)
    if problems := _problems(report, spec.weights.drop):
        raise mismatch_error(spec.name, spec.architecture, problems)
    return _loaded(spec, library, model, _read_preprocessor(folder))


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Build the model that the entry's options describe, on torch's current default device."""
    if missing := spec.preprocessing.missing():
        raise UnavailableError(
            f"backbone {spec.name!r}: {', '.join(missing)} of its preprocessing are in its "
            f"{PREPROCESSOR}, which is read with its weights."
        )
    library = _library(spec.name)
    _check_model_type(spec, library)
    config = library.AutoConfig.for_model(spec.architecture, **dict(spec.options))
    return _loaded(spec, library, _without_pooler(library.AutoModel.from_config, config), {})


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
        [PREPROCESSOR],
        weights.revision,
        offline=offline,
    )


def _read_config(spec: BackboneSpec, library: Any, folder: Path) -> Any:
    """Return the folder's own configuration; BackboneError where the entry contradicts it."""
    _check_model_type(spec, library)
    try:
        values = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise BackboneError(
            f"backbone {spec.name!r}: {str(folder / CONFIG)!r} cannot be read; "
            "without it the weights cannot be interpreted."
        ) from error
    if values.get("model_type") != spec.architecture:
        raise BackboneError(
            f"backbone {spec.name!r}: architecture is {spec.architecture!r}; "
            f"{CONFIG} says {values.get('model_type')!r}."
        )
    config = library.AutoConfig.for_model(**values)
    for key, value in spec.options.items():
        if getattr(config, key, None) != value:
            raise BackboneError(
                f"backbone {spec.name!r}: options.{key} is {value!r}; "
                f"{CONFIG} says {getattr(config, key, None)!r}."
            )
    return config


def _from_folder(
    spec: BackboneSpec, library: Any, folder: Path, config: Any
) -> tuple[Any, Mapping[str, Any]]:
    """Return the model and transformers' report on tensors that do not fit.

    Shapes that differ are reported too, rather than raised, so that `load` can name them.
    """

    def read(config: Any, **options: Any) -> Any:
        return library.AutoModel.from_pretrained(
            folder,
            config=config,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            **options,
        )

    try:
        result: tuple[Any, Mapping[str, Any]] = _without_pooler(read, config)
    except (OSError, RuntimeError, ValueError) as error:
        raise BackboneError(
            f"backbone {spec.name!r}: {str(folder)!r} does not load ({first_line(error)})."
        ) from error
    return result


def _problems(report: Mapping[str, Any], drop: tuple[str, ...]) -> list[str]:
    """List the tensors that do not fit, except those that the entry drops by name."""
    missing = [f"missing {name}" for name in sorted(report["missing_keys"])]
    unexpected = [
        f"unexpected {name}"
        for name in sorted(report["unexpected_keys"])
        if not name.startswith(drop)
    ]
    shapes = [
        f"{name} is {tuple(shape)}, not {tuple(expected)}"
        for name, shape, expected in sorted(report["mismatched_keys"])
    ]
    return [*missing, *unexpected, *shapes]


def _without_pooler(make: Any, config: Any) -> Any:
    """Make a model without the pooler that some model types have behind the last hidden states.

    No output reads it, and files often lack it.
    """
    try:
        return make(config, add_pooling_layer=False)
    except TypeError:
        return make(config)


def _loaded(spec: BackboneSpec, library: Any, model: Any, processor: Mapping[str, Any]) -> Loaded:
    module = TransformersFeatures(model, spec.name)
    geometry, normalisation = _preprocessing(spec, processor)
    return Loaded(module, geometry, normalisation, f"transformers {library.__version__}")


def _read_preprocessor(folder: Path) -> Mapping[str, Any]:
    path = folder / PREPROCESSOR
    values: Mapping[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return values


def _preprocessing(
    spec: BackboneSpec, processor: Mapping[str, Any]
) -> tuple[Geometry, Normalisation]:
    """Return the repository's own preprocessing with the spec's overrides; none may be missing."""
    preprocessing = with_defaults(spec.preprocessing, _defaults(processor))
    if missing := preprocessing.missing():
        raise BackboneError(
            f"backbone {spec.name!r}: {PREPROCESSOR} does not state {', '.join(missing)}; "
            "give them as preprocessing."
        )
    return geometry_and_normalisation(preprocessing)


def _defaults(processor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preprocessing of a preprocessor_config.json, in the terms of an entry.

    Values that it omits, and sizes that are not square, are None.
    """
    size, crop = _edges(processor.get("size")), _edges(processor.get("crop_size"))
    short_side = size.get("shortest_edge")
    if processor.get("do_center_crop"):
        height = crop.get("height") or crop.get("shortest_edge")
        width = crop.get("width", height)
    else:
        height, width = size.get("height"), size.get("width")
    input_px = height if height == width else None
    if short_side and height:
        crop_pct = min(height / short_side, 1.0)
    else:
        crop_pct = 1.0 if height and size.get("height") == height else None
    return {
        "input_px": input_px,
        "crop_pct": crop_pct,
        "crop_mode": "center" if short_side else "squash" if size.get("height") else None,
        "interpolation": INTERPOLATIONS.get(processor.get("resample", -1)),
        "mean": processor.get("image_mean"),
        "std": processor.get("image_std"),
    }


def _edges(size: Any) -> Mapping[str, Any]:
    """Return a size as a mapping; older files have a single number, the shortest edge."""
    return size if isinstance(size, dict) else {"shortest_edge": size}
