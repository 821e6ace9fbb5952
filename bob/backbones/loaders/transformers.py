"""Backbones from transformers: a hub repository or a local folder in its layout (`config.json`, weights, `preprocessor_config.json`).

`architecture` is transformers' model type; `options` are values of its configuration, which the repository's own must agree with.
No code of the repository's is run.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.weights.tensors import mismatch_error
from bob.errors import BackboneError, ConfigError, UnavailableError, nearest
from bob.io.hub import hub_snapshot
from bob.specs import DEFAULT, GRID, BackboneSpec, Output, Preprocessing

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, as preprocessor_config.json has them."""
TOKEN_OUTPUTS = (
    Output(pool="cls"),
    Output(pool="mean_patch"),
    Output(pool="cls+mean_patch"),
    GRID,
)


class TransformersFeatures(nn.Module):
    """The last hidden states of a vision model: rows (B, D) or grids (B, H, W, D).

    Of tokens (B, N, D), `cls` is the first and the patches are the last (H / patch) x (W / patch),
    so that register tokens are left out. Of feature maps (B, D, H, W), `default` is the mean over
    positions. Intermediate layers are not offered: whether the final norm applies to them differs
    between model types.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model: Any = model
        self.name = name

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        states = self.model(pixel_values=x).last_hidden_state
        read = self._read_map if states.ndim == 4 else self._read_tokens
        return {output: read(states, output, x.shape[-2:]) for output in outputs}

    def _read_map(
        self, states: torch.Tensor, output: Output, size_px: Sequence[int]
    ) -> torch.Tensor:
        refuse_outputs(self.name, [output], [DEFAULT, GRID], "a model with feature maps")
        return states.permute(0, 2, 3, 1) if output.is_grid else states.mean(dim=(2, 3))

    def _read_tokens(
        self, states: torch.Tensor, output: Output, size_px: Sequence[int]
    ) -> torch.Tensor:
        refuse_outputs(self.name, [output], TOKEN_OUTPUTS, "a model with tokens")
        patch = self.model.config.patch_size
        height, width = size_px[0] // patch, size_px[1] // patch
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
    """The model of the folder that holds the weights; every tensor of the file is used or dropped by name, none is made up."""
    library = _library(spec.name)
    if file is None or spec.weights is None:
        raise ConfigError(
            f"backbone {spec.name!r}: loader transformers needs weights: give hub or file."
        )
    folder = _folder(spec, file, offline=offline)
    config = _agreed_config(spec, library, folder)
    model, told = _from_folder(spec, library, folder, config)
    if other := _differences(told, spec.weights.drop):
        raise mismatch_error(spec.name, spec.architecture, other)
    return _loaded(spec, library, model, _told_preprocessing(folder))


def _differences(told: Mapping[str, Any], drop: tuple[str, ...]) -> list[str]:
    """What transformers says of a file that does not fit its model, but for what the entry drops by name."""
    missing = [f"missing {name}" for name in sorted(told["missing_keys"])]
    unexpected = [
        f"unexpected {name}"
        for name in sorted(told["unexpected_keys"])
        if not name.startswith(drop)
    ]
    return [
        *missing,
        *unexpected,
        *(
            f"{name} is {tuple(found)}, not {tuple(wanted)}"
            for name, found, wanted in sorted(told["mismatched_keys"])
        ),
    ]


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """The model that the entry's options describe, on torch's current default device."""
    if missing := spec.preprocessing.missing():
        raise UnavailableError(
            f"backbone {spec.name!r}: its {PREPROCESSOR} tells {', '.join(missing)}; known when its files are read."
        )
    library = _library(spec.name)
    _check_type(spec, library)
    return _loaded(
        spec, library, _without_pooler(library.AutoModel.from_config, _config(spec, library)), {}
    )


def _library(name: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UnavailableError(
            f"backbone {name!r}: needs the package transformers; pip install 'bob-bench[transformers]'"
        ) from error
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # what does not fit is told by `load`
    return transformers


def _check_type(spec: BackboneSpec, library: Any) -> None:
    known = list(library.models.auto.configuration_auto.CONFIG_MAPPING_NAMES)
    if spec.architecture not in known:
        near = nearest(spec.architecture, known)
        raise ConfigError(
            f"backbone {spec.name!r}: transformers {library.__version__} has no model type {spec.architecture!r}{near}"
        )


def _config(spec: BackboneSpec, library: Any) -> Any:
    return library.AutoConfig.for_model(spec.architecture, **dict(spec.options))


def _folder(spec: BackboneSpec, file: Path, *, offline: bool) -> Path:
    """Where the configuration lies beside the weights."""
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


def _agreed_config(spec: BackboneSpec, library: Any, folder: Path) -> Any:
    """The folder's own configuration, which the entry must not contradict."""
    _check_type(spec, library)
    try:
        told = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise BackboneError(
            f"backbone {spec.name!r}: {str(folder / CONFIG)!r} cannot be read; it tells what the weights are."
        ) from error
    if told.get("model_type") != spec.architecture:
        raise BackboneError(
            f"backbone {spec.name!r}: architecture is {spec.architecture!r}; {CONFIG} says {told.get('model_type')!r}."
        )
    config = library.AutoConfig.for_model(**told)
    for key, value in spec.options.items():
        if getattr(config, key, None) != value:
            raise BackboneError(
                f"backbone {spec.name!r}: options.{key} is {value!r}; {CONFIG} says {getattr(config, key, None)!r}."
            )
    return config


def _from_folder(
    spec: BackboneSpec, library: Any, folder: Path, config: Any
) -> tuple[Any, Mapping[str, Any]]:
    fixed = {
        "output_loading_info": True,
        "local_files_only": True,
        "trust_remote_code": False,
        "dtype": torch.float32,
    }

    def read(config: Any, **options: Any) -> Any:
        """A tensor of another shape is told of rather than raised, so that `load` can name it."""
        return library.AutoModel.from_pretrained(
            folder, config=config, ignore_mismatched_sizes=True, **fixed, **options
        )

    try:
        made: tuple[Any, Mapping[str, Any]] = _without_pooler(read, config)
    except (OSError, RuntimeError, ValueError) as error:
        raise BackboneError(
            f"backbone {spec.name!r}: {str(folder)!r} does not load ({str(error).splitlines()[0][:200]})."
        ) from error
    return made


def _without_pooler(make: Any, config: Any) -> Any:
    """Some model types have a pooler behind the last hidden states, which nobody reads and which files often lack."""
    try:
        return make(config, add_pooling_layer=False)
    except TypeError:
        return make(config)


def _told_preprocessing(folder: Path) -> Mapping[str, Any]:
    path = folder / PREPROCESSOR
    found: Mapping[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return found


def _loaded(spec: BackboneSpec, library: Any, model: Any, told: Mapping[str, Any]) -> Loaded:
    module = TransformersFeatures(model, spec.name)
    return Loaded(module, *_preprocessing(spec, told), f"transformers {library.__version__}")


def _preprocessing(spec: BackboneSpec, told: Mapping[str, Any]) -> tuple[Geometry, Normalisation]:
    """The repository's own, with the entry's overrides; nothing may stay open."""
    theirs = _as_ours(told)
    own = Preprocessing(
        **{name: theirs.get(name) if value is None else value for name, value in spec.preprocessing}
    )
    if missing := own.missing():
        raise BackboneError(
            f"backbone {spec.name!r}: {PREPROCESSOR} does not tell {', '.join(missing)}; give them as preprocessing."
        )
    assert (
        own.input_px
        and own.crop_pct
        and own.crop_mode
        and own.interpolation
        and own.mean
        and own.std
    )
    return Geometry(
        own.input_px, own.input_px, own.crop_pct, own.crop_mode, own.interpolation
    ), Normalisation(own.mean, own.std)


def _as_ours(told: Mapping[str, Any]) -> dict[str, Any]:
    """What preprocessor_config.json says, as an entry says it; what it leaves open, or is not square, stays open."""
    size, crop = (
        value if isinstance(value, dict) else {"shortest_edge": value}
        for value in (told.get("size"), told.get("crop_size"))
    )
    input_px = (
        (crop.get("height") or crop.get("shortest_edge"))
        if told.get("do_center_crop")
        else size.get("height")
    )
    side = size.get("shortest_edge")
    return {
        "input_px": input_px
        if input_px
        == (crop.get("width", input_px) if told.get("do_center_crop") else size.get("width"))
        else None,
        "crop_pct": min(input_px / side, 1.0)
        if side and input_px
        else 1.0
        if input_px and size.get("height") == input_px
        else None,
        "crop_mode": "center" if side else "squash" if size.get("height") else None,
        "interpolation": RESAMPLE.get(told.get("resample", -1)),
        "mean": told.get("image_mean"),
        "std": told.get("image_std"),
    }
