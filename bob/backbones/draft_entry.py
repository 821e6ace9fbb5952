"""The registry entry of a checkpoint, found by trying: every layout that is offered was loaded."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.backbones.loaders.load import outline
from bob.backbones.loaders.transformers import CONFIG
from bob.backbones.weights.layouts import CheckpointLayout, fitting_layouts
from bob.backbones.weights.read import read_file
from bob.errors import BackboneError, BobError, ConfigError
from bob.io.files import slug
from bob.specs import BackboneSpec, Family
from bob.specs.yaml import build

AVERAGED = re.compile(r"(^|[._])(teacher|ema|target)([._]|$)", re.IGNORECASE)
"""Words in keys of averaged weights, which are evaluated where a file has several networks.

MoCo's momentum encoder is none: its authors evaluate the other network.
"""
TIMM = "timm:"
"""Optional prefix of timm's architectures, beside that of torchvision's."""
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
)
"""Names of the weights in a folder of `save_pretrained`, the preferred one first."""
OUTPUTS = ("default", "cls", "mean_patch")
"""Outputs that are tried, in this order."""
Values = dict[str, Any]


@dataclass(frozen=True, eq=False)
class DraftEntry:
    """A complete entry, and what was chosen for it."""

    spec: BackboneSpec
    values: Values
    """The keys of the entry, as they are written."""
    notes: tuple[str, ...]


def draft_entry(
    place: Path, architecture: str | None, name: str | None, family: Family, output: str | None
) -> DraftEntry:
    """Return the entry of a checkpoint file, or of a folder that `save_pretrained` wrote.

    ConfigError where an architecture is needed and missing, BackboneError where no layout of the
    file fits it, with the first names of both.
    """
    if architecture is not None:
        architecture = architecture.removeprefix(TIMM).strip()
    name = name or slug(place.name if place.is_dir() else place.name.partition(".")[0])
    notes: list[str] = []
    problems: list[str] = []
    for values in _candidates(place, architecture, {"family": family}, notes):
        for chosen in (output,) if output else OUTPUTS:
            with_output = values if chosen == "default" else {**values, "output": chosen}
            try:
                spec = build(BackboneSpec, {"name": name, **with_output}, name)
                backbone = load_backbone(spec, "cpu", "float32", offline=True)
                width = backbone.check()[-1]
            except BobError as error:
                problems.append(str(error))
                continue
            if chosen != "default" and not output:
                notes.append(
                    f"its output {chosen} is read, the first of {', '.join(OUTPUTS)} that the "
                    "network has; --output names another"
                )
            complete = with_output | _measured(backbone, place, width)
            spec = build(BackboneSpec, {"name": name, **complete}, name)
            return DraftEntry(spec, complete, (*notes, *backbone.notes))
    stated = _stated_architecture(place)
    if architecture is not None and stated is not None and stated != architecture:
        problems.append(
            f"{str(place / CONFIG)!r} states its own architecture, {stated!r}: leave out "
            f"--architecture {architecture}."
        )
    raise BackboneError("\n".join(dict.fromkeys(problems)) or f"{str(place)!r} holds no weights.")


def _stated_architecture(place: Path) -> str | None:
    """Return the network that a folder's config.json names, if it is a folder with one."""
    return _named(_config(place)) if place.is_dir() else None


def _candidates(
    place: Path, architecture: str | None, common: Values, notes: list[str]
) -> Iterator[Values]:
    """Yield the keys of entries that may fit, the likeliest first."""
    if place.is_dir():
        yield from _of_folder(place, architecture, common)
        return
    if architecture is None:
        raise ConfigError(
            f"{str(place)!r}: a file of weights does not name its network; give --architecture, a "
            "name of timm or torchvision:NAME."
        )
    weights = {"file": str(place.absolute())}
    checkpoint = {**common, "loader": "checkpoint", "architecture": architecture}
    draft = build(BackboneSpec, {"name": "draft", **checkpoint, "weights": weights}, str(place))
    expected: Any = outline(draft, offline=True).module
    layouts = fitting_layouts(read_file(place.name, place), expected.model.state_dict())
    for layout in _averaged_first(layouts, notes):
        fields = {"state_dict": layout.state_dict, "strip": layout.strip, "drop": [*layout.drop]}
        stated = {key: value for key, value in fields.items() if value}
        yield {**checkpoint, "weights": weights | stated}
    if not architecture.startswith("torchvision:"):
        yield {**common, "loader": "timm", "architecture": architecture, "weights": weights}
    if not layouts:
        yield {**checkpoint, "weights": weights}  # whose error shows the names of both sides


def _of_folder(place: Path, architecture: str | None, common: Values) -> Iterator[Values]:
    """Yield the entries of a folder with `config.json` and weights."""
    config = _config(place)
    file = next((place / name for name in WEIGHT_FILES if (place / name).is_file()), None)
    if file is None:
        raise ConfigError(f"{str(place)!r}: has no weights; looked for {', '.join(WEIGHT_FILES)}.")
    weights = {"weights": {"file": str(file.absolute())}}
    if named := _vision_type(config):
        yield {**common, "loader": "transformers", "architecture": architecture or named, **weights}
    elif named := config.get("architecture"):  # of timm's save_for_hf
        keys = {"input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std"}
        pretrained = {**config, **(config.get("pretrained_cfg") or {})}
        stated = {key: pretrained[key] for key in sorted(keys & pretrained.keys())}
        size = stated.pop("input_size", None)
        preprocessing = stated | ({"input_px": size[-1]} if size else {})
        timm = {**common, "loader": "timm", "architecture": architecture or named, **weights}
        yield timm | ({"preprocessing": preprocessing} if preprocessing else {})
    else:
        raise ConfigError(
            f"{str(place / CONFIG)!r}: names no model_type and no architecture; name the file of "
            "the weights instead, with --architecture."
        )


def _config(place: Path) -> Values:
    """Return the content of a folder's config.json; ConfigError where it cannot be read."""
    try:
        config = json.loads((place / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{str(place)!r}: has no readable {CONFIG}, as `save_pretrained` writes it ({error}). "
            "Name the file of the weights instead."
        ) from error
    if not isinstance(config, dict):
        raise ConfigError(f"{str(place / CONFIG)!r}: must hold a mapping; got {config!r:.60}.")
    return config


def _vision_type(config: Values) -> str | None:
    """Return transformers' type of the model, or of the vision model of an image-text model."""
    part = config.get("vision_config")
    of_images = part.get("model_type") if isinstance(part, dict) else None
    return of_images or config.get("model_type")


def _named(config: Values) -> str | None:
    """Return the network that a config names, of transformers or of timm."""
    return _vision_type(config) or config.get("architecture")


def _averaged_first(layouts: list[CheckpointLayout], notes: list[str]) -> list[CheckpointLayout]:
    """Return the layouts, those of averaged weights first, and note the others."""
    ordered = sorted(
        layouts,
        key=lambda layout: AVERAGED.search(f"{layout.state_dict}.{layout.strip}") is None,
    )
    if len(ordered) > 1:
        others = " and ".join(layout.to_yaml() for layout in ordered[1:])
        notes.append(
            f"the file holds {len(ordered)} networks; weights are those of "
            f"{ordered[0].to_yaml()}, and it fits as {others} too"
        )
    return ordered


def _measured(backbone: Backbone, place: Path, width: int) -> Values:
    """Return the facts that loading measured, and the preprocessing in full."""
    geometry, normalisation = backbone.geometry, backbone.normalisation
    preprocessing: Values = {}
    if not geometry.resize and geometry.height_px == geometry.width_px:
        preprocessing = {
            "input_px": geometry.height_px,
            "crop_pct": float(geometry.crop_pct),
            "crop_mode": geometry.crop_mode,
            "interpolation": geometry.interpolation,
            "mean": [*normalisation.mean],
            "std": [*normalisation.std],
        }
    stated = backbone.spec.weights
    weights = stated.model_dump(mode="json", exclude_defaults=True) if stated else {}
    if place.is_file():
        weights["sha256"] = hashlib.sha256(place.read_bytes()).hexdigest()
    facts: Values = {"weights": weights, "width": width, "params": backbone.parameters()}
    return facts | ({"preprocessing": preprocessing} if preprocessing else {})
