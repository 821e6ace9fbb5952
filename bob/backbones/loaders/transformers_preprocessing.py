"""An entry's preprocessing and that of its repository's image processor, combined."""

import math
from dataclasses import dataclass, replace

from bob.backbones.loaders.image_processor import Adopted
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.specs import Preprocessing

WHOLE_PX = 1e-6
"""A resized side of 255.9999999 px is 256 px: 224 / (224 / 256) is not exact for every pair."""


@dataclass(frozen=True)
class Combined:
    """The preprocessing of a backbone, as far as entry and processor state it."""

    geometry: Geometry | None
    normalisation: Normalisation | None
    missing: tuple[str, ...]
    """Fields of an entry's preprocessing that neither states."""
    is_bgr: bool = False
    notes: tuple[str, ...] = ()


def combine(entry: Preprocessing, processor: Adopted) -> Combined:
    """Return the processor's preprocessing with the entry's fields in place of its own."""
    own, values = processor.geometry, processor.normalisation
    interpolation = entry.interpolation or processor.interpolation
    stated = {"input_px": entry.input_px, "crop_pct": entry.crop_pct, "crop_mode": entry.crop_mode}
    missing = [name for name, value in stated.items() if own is None and value is None]
    missing += [] if interpolation else ["interpolation"]
    missing += [name for name in ("mean", "std") if values is None and getattr(entry, name) is None]
    notes = (f"{processor.problem}; the entry's preprocessing is used instead",)
    return Combined(
        None if missing else _geometry(entry, own, str(interpolation)),
        None if missing else _normalisation(entry, values),
        tuple(missing),
        processor.is_bgr,
        notes if processor.problem and not missing else (),
    )


def _normalisation(entry: Preprocessing, own: Normalisation | None) -> Normalisation:
    mean = entry.mean or (own.mean if own else None)
    std = entry.std or (own.std if own else None)
    assert mean and std  # not among the missing fields
    return Normalisation(mean, std)


def _geometry(entry: Preprocessing, own: Geometry | None, interpolation: str) -> Geometry:
    """Return the entry's crop, or the processor's where the entry states none.

    An entry's crop is resized as timm does, to the whole pixels of input_px / crop_pct, and cut as
    processors do.
    """
    if own and not (entry.input_px or entry.crop_pct or entry.crop_mode):
        return replace(own, interpolation=interpolation)
    sides = (own.height_px, own.width_px) if own else (0, 0)
    sides = (entry.input_px, entry.input_px) if entry.input_px else sides
    crop_pct = entry.crop_pct or (own.crop_pct if own else None)
    crop_mode = entry.crop_mode or (own.crop_mode if own else None)
    assert all(sides) and crop_pct and crop_mode  # not among the missing fields
    resized = tuple(math.floor(side / crop_pct + WHOLE_PX) for side in sides)
    resize = {"center": (min(resized),), "squash": resized}.get(crop_mode)
    return Geometry(*sides, crop_pct, crop_mode, interpolation, resize=resize)
