"""Preprocessing of transformers' image processors, in the terms of this package, and verified.

A processor is a class with a few dozen settings, and classes differ in what they do with them. What
a processor does is therefore not inferred from its settings: it is run on a few images, and its
preprocessing is adopted only where crops and normalisation of ours give its pixels. The settings
only say which crops to try, and which of them to blame.

Let x be the crop of an image, in 8-bit RGB. A processor can be adopted if its values are
(x[p] / 255 - m) / s per channel, where p is the order RGB or BGR. m and s are measured on black and
on pure colours, because processors differ in which of rescale_factor, offsets, image_mean and
image_std they apply, and in what order. The crop is resized to a shorter side or to (height,
width), and then cut from the centre: images of different shapes reveal anything else, such as a
limit on the longer side, a size that varies, or an offset that is rounded otherwise.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.backbones.pixels.geometry import FAST_LEVELS, Geometry, Normalisation
from bob.errors import first_line

INTERPOLATIONS = {None: "bilinear", 0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, as in preprocessor_config.json."""
MAX_SIDE_PX = 2_048
"""Processors of larger images are not tried."""
ROUNDING = 1e-5
"""Largest difference of values from a processor that computes as we do, relative to the largest."""
RESIZED_PER_CROP = 256 / 224
"""Ratio that some classes resize by before they crop, without a setting that says so."""
_SETTINGS = ("do_resize", "size", "resample", "do_center_crop", "crop_size", "crop_pct", "do_pad")
"""Settings that are named where no single one can be blamed."""
_UNBLAMED = ("default_to_square", "is_fast", "is_loaded", "rescale_factor")
FIRST_PROBES = ((64, 48), (48, 90))
"""Width and height of the images that rule most crops out."""
MAX_BLAMED_PX = 640
"""Side up to which the settings of a processor are changed in turn, to find the one to blame."""
Values = NDArray[np.float64]
"""What the model sees, (3, H, W)."""


@dataclass(frozen=True)
class Adopted:
    """The preprocessing of a processor, as far as it can be ours."""

    geometry: Geometry | None = None
    """None where no crop of ours gives its pixels."""
    interpolation: str | None = None
    """None where Pillow's number of its filter is unknown here."""
    normalisation: Normalisation | None = None
    """None where its values are no function of each channel's 8-bit value."""
    is_bgr: bool = False
    """Whether the model sees the channels as blue, green, red."""
    problem: str = ""
    """What the processor does that cannot be adopted, with its class; empty where all can be."""


def adopt(library: Any, folder: Path) -> Adopted:
    """Return the preprocessing of a folder's image processor, as far as it can be ours."""
    try:
        processor = _load(library, folder)
    except (
        Exception
    ) as error:  # an unknown class, code of the repository, settings that are refused
        return Adopted(problem=f"its image processor cannot be loaded ({first_line(error)})")
    name = type(processor).__name__.removesuffix("Pil")
    try:
        return _adopted(processor, name)
    # Other inputs or outputs than images; settings that do not fit, or are of other types.
    except Exception as error:
        return Adopted(problem=f"its {name} cannot be run on an image ({first_line(error)})")


def _adopted(processor: Any, name: str) -> Adopted:
    side = _run(processor, _noise(64, 48)).shape[1:]
    if max(side) > MAX_SIDE_PX:
        return Adopted(problem=f"its {name} makes images of {side[0]} x {side[1]} px")
    colours = _Colours.measured(processor, side)
    if colours is None:
        return Adopted(problem=f"its {name} mixes channels, or does not keep their values apart")
    geometry = _geometry(processor, colours)
    return Adopted(
        geometry,
        _interpolation(processor),
        colours.normalisation(processor),
        colours.is_bgr,
        ""
        if geometry
        else f"its {name} crops as bob-bench cannot: {_blamed(processor, colours, side)}",
    )


def _load(library: Any, folder: Path) -> Any:
    """Load a folder's image processor: one that computes with Pillow, where the library has one."""
    is_new = int(library.__version__.split(".")[0]) >= 5
    backend: dict[str, Any] = {"backend": "pil"} if is_new else {"use_fast": False}
    return library.AutoImageProcessor.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, **backend
    )


def _run(processor: Any, image: Image.Image) -> Values:
    """Return what the model sees of an image; ValueError where that is not one image."""
    values = processor(images=image, return_tensors="pt")["pixel_values"]
    if values.ndim != 4 or values.shape[:2] != (1, 3):
        raise ValueError(f"it makes an array of shape {tuple(values.shape)}")
    pixels: Values = values[0].double().numpy()
    return pixels


@lru_cache(maxsize=64)
def _noise(width: int, height: int) -> Image.Image:
    """Return an image whose resized values stay within 8 bits, so that clipping plays no part."""
    values = np.random.default_rng([width, height]).integers(64, 192, (height, width, 3))
    return Image.fromarray(values.astype(np.uint8))


@dataclass(frozen=True)
class _Colours:
    """Values of the model's channels: offset + gain x the 8-bit value of channel `order`."""

    offset: Values
    gain: Values
    order: tuple[int, ...]

    @classmethod
    def measured(cls, processor: Any, side: tuple[int, ...]) -> "_Colours | None":
        """Measure black and pure colours at the centre of images; None if channels are mixed."""

        def centre(*rgb: int) -> Values:
            values = _run(processor, Image.new("RGB", (side[1], side[0]), rgb))
            return values[:, values.shape[1] // 2, values.shape[2] // 2]

        black = centre(0, 0, 0)
        pure = [centre(255, 0, 0), centre(0, 255, 0), centre(0, 0, 255)]
        gains = np.stack([(values - black) / 255 for values in pure], axis=1)
        order = tuple(int(i) for i in np.abs(gains).argmax(axis=1))
        gain = gains[range(3), order]
        others = gains.copy()
        others[range(3), order] = 0
        if (
            order not in ((0, 1, 2), (2, 1, 0))
            or not np.isfinite(gains).all()
            or (gain <= 0).any()
            or np.abs(others).max() > ROUNDING * gain.min()
        ):
            return None
        return cls(black, gain, order)

    @property
    def is_bgr(self) -> bool:
        return self.order != (0, 1, 2)

    def apply(self, crop: NDArray[np.uint8]) -> Values:
        """Return what the model sees of a (3, H, W) uint8 crop."""
        values: Values = self.offset[:, None, None] + (
            self.gain[:, None, None] * crop[list(self.order)]
        )
        return values

    def normalisation(self, processor: Any) -> Normalisation:
        """Return mean and deviation for pixels in [0, 1], in RGB order.

        They are the settings' own numbers where these say what was measured, in single precision.
        """
        back = np.argsort(self.order)
        offset, gain = self.offset[back], self.gain[back]
        std = 1 / (255 * gain)
        mean = -offset * std
        stated = _stated_normalisation(processor)
        if stated is not None and np.allclose(stated, (mean, std), rtol=ROUNDING, atol=ROUNDING):
            mean, std = stated
        return Normalisation(tuple(map(float, mean)), tuple(map(float, std)))


def _stated_normalisation(processor: Any) -> tuple[Values, Values] | None:
    """Return mean and deviation for pixels in [0, 1] as the usual settings state them."""
    scale = 255.0
    if getattr(processor, "do_rescale", None):
        scale *= getattr(processor, "rescale_factor", None) or 1 / 255
    scale = 1.0 if abs(scale - 1) < 1e-12 else scale
    mean, std = np.zeros(3), np.ones(3)
    if getattr(processor, "do_normalize", None):
        try:
            mean = np.broadcast_to(np.asarray(processor.image_mean, float), 3)
            std = np.broadcast_to(np.asarray(processor.image_std, float), 3)
        except (TypeError, ValueError, AttributeError):
            return None
    return mean / scale, std / scale


def _geometry(processor: Any, colours: _Colours) -> Geometry | None:
    """Return crops that give a processor's pixels on images of all shapes; None if none do."""
    interpolation = _interpolation(processor)
    if interpolation is None:
        return None
    try:
        first = {size: _run(processor, _noise(*size)) for size in FIRST_PROBES}
        shapes = {values.shape for values in first.values()}
        if len(shapes) > 1:
            return None  # its images are not of one size
        _, height_px, width_px = shapes.pop()
        longest_px = max([0, *_edges(processor, "size").values()])
        allowed = _allowed(processor, colours)
        for resize in _candidate_sizes(processor):
            geometry = resized_geometry(height_px, width_px, resize, interpolation)
            if all(
                _agree(theirs, colours, geometry, size, allowed) for size, theirs in first.items()
            ) and all(
                _agree(_run(processor, _noise(*size)), colours, geometry, size, allowed)
                for size in _probes(resize, longest_px)
            ):
                return geometry
    except Exception:  # it refuses images of some shape
        return None
    return None


def _interpolation(processor: Any) -> str | None:
    return INTERPOLATIONS.get(_number(getattr(processor, "resample", None)))


def resized_geometry(
    height_px: int, width_px: int, resize: tuple[int, ...], interpolation: str
) -> Geometry:
    """Return a geometry as processors state it, by the size before the crop."""
    return Geometry(
        height_px,
        width_px,
        crop_pct=min(height_px / resize[0], 1.0),
        crop_mode="center" if len(resize) == 1 else "squash",
        interpolation=interpolation,
        resize=resize,
    )


def _candidate_sizes(processor: Any) -> Iterator[tuple[int, ...]]:
    """Yield sizes before the crop that a processor's settings suggest, most likely first."""
    size, crop = _edges(processor, "size"), _edges(processor, "crop_size")
    crop_pct = getattr(processor, "crop_pct", None)
    tried: dict[tuple[int, ...], None] = {}
    for edges in (size, crop):
        if "height" in edges and "width" in edges:
            tried[edges["height"], edges["width"]] = None
        for edge in edges.values():
            tried[(edge,)] = None
            ratios = [RESIZED_PER_CROP, *([1 / crop_pct] if crop_pct else [])]
            for ratio in ratios:
                tried |= dict.fromkeys([(int(edge * ratio),), (round(edge * ratio),)])
            tried[edge, edge] = None
            for ratio in ratios:
                tried[int(edge * ratio), int(edge * ratio)] = None
    yield from (sizes for sizes in tried if min(sizes) > 0 and max(sizes) <= MAX_SIDE_PX)


def _edges(processor: Any, name: str) -> dict[str, int]:
    """Return the lengths in a setting of sizes, by name."""
    return {
        key: int(edge)
        for key, edge in _edges_of(getattr(processor, name, None)).items()
        if isinstance(edge, int | float)
    }


def _probes(resize: tuple[int, ...], longest_px: int) -> list[tuple[int, int]]:
    """Return (width, height) of images that tell ways to resize and crop apart.

    Both orientations, smaller and larger images, ones that get longer than a limit may allow, and,
    where the shape is kept, ones whose surplus over the crop leaves each remainder of a division by
    4, which shows how its half is rounded.
    """
    height, width = resize[0], resize[-1]
    long = max(5, 2 * longest_px // min(resize))
    surpluses = range(4) if len(resize) == 1 else range(1)
    return [
        (round(1.3 * width) + 3, round(1.7 * height) + 2),
        (round(1.7 * width) + 2, round(1.3 * height) + 3),
        *((width + surplus, height) for surplus in surpluses),
        *((width, height + surplus) for surplus in surpluses),
        (width // 2 + 1, height // 3 + 1),
        (long * width // 4, height // 4),
        (width // 4, long * height // 4),
    ]


def _agree(
    theirs: Values, colours: _Colours, geometry: Geometry, size: tuple[int, int], allowed: float
) -> bool:
    """Return whether a geometry gives a processor's pixels of an image of some size."""
    ours = colours.apply(geometry.crop(_noise(*size)).numpy())
    return theirs.shape == ours.shape and float(np.abs(theirs - ours).max()) <= allowed


def _allowed(processor: Any, colours: _Colours) -> float:
    """Return the largest difference of two values that counts as rounding.

    Kernels of torchvision, which some classes have no alternative to, round otherwise than Pillow.
    """
    is_pillow = getattr(processor, "backend", "pil") == "pil"
    levels = 0 if is_pillow and not type(processor).__name__.endswith("Fast") else FAST_LEVELS
    largest = np.abs(colours.offset + 255 * colours.gain).max()
    return float(ROUNDING * max(largest, 1) + levels * colours.gain.max())


def _blamed(processor: Any, colours: _Colours, side: tuple[int, ...]) -> str:
    """Return the setting without which a processor could be adopted, or the usual settings."""
    settings = _settings(processor)
    if _number(settings.get("resample")) not in INTERPOLATIONS:
        return f"resample {settings['resample']!r}"
    for name, value in settings.items() if max(side) <= MAX_BLAMED_PX else ():
        for other in _alternatives(value):
            changed = copy.copy(processor)
            try:
                setattr(changed, name, other)
                is_fine = _geometry(changed, colours) is not None
            except Exception:  # a setting that cannot be changed is not the one to blame
                continue
            if is_fine:
                return f"{name} {_plain(value)}"
    named = {name: settings[name] for name in _SETTINGS if settings.get(name) is not None}
    switches = {
        name: value
        for name, value in settings.items()
        if value is True and not name.startswith("do_")
    }
    return ", ".join(f"{name} {_plain(value)}" for name, value in {**named, **switches}.items())


def _settings(processor: Any) -> dict[str, Any]:
    """Return a processor's settings by name: those of its class, and its own."""
    by_class = {name: getattr(type(processor), name, None) for name in dir(type(processor))}
    return {
        name: value
        for name, value in {**by_class, **vars(processor)}.items()
        if not name.startswith("_")
        and name not in _UNBLAMED
        and (isinstance(value, bool | int | float | str) or _edges_of(value))
    }


def _alternatives(value: Any) -> list[Any]:
    """Return a setting's value without its effect, where that can be guessed."""
    if isinstance(value, bool):
        return [not value]
    if _edges_of(value).keys() > {"shortest_edge"}:
        return [{"shortest_edge": _edges_of(value)["shortest_edge"]}]
    return [None] if isinstance(value, int) else []


def _edges_of(value: Any) -> dict[str, Any]:
    try:
        return {key: edge for key, edge in dict(value).items() if edge}
    except (TypeError, ValueError):
        return {}


def _plain(value: Any) -> str:
    edges = dict(sorted(_edges_of(value).items()))
    return str(edges or value)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
