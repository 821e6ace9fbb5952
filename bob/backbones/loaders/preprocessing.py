"""From an entry's preprocessing to a geometry and a normalisation, for square inputs."""

from collections.abc import Mapping
from typing import Any

from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.specs import Preprocessing


def with_defaults(overrides: Preprocessing, defaults: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing with missing fields filled in from a library's defaults."""
    return Preprocessing(
        **{name: defaults.get(name) if value is None else value for name, value in overrides}
    )


def geometry_and_normalisation(complete: Preprocessing) -> tuple[Geometry, Normalisation]:
    """Split a preprocessing none of whose fields is missing into its two parts."""
    assert complete.input_px and complete.crop_pct and complete.crop_mode
    assert complete.interpolation and complete.mean and complete.std
    geometry = Geometry(
        height_px=complete.input_px,
        width_px=complete.input_px,
        crop_pct=complete.crop_pct,
        crop_mode=complete.crop_mode,
        interpolation=complete.interpolation,
    )
    return geometry, Normalisation(complete.mean, complete.std)
