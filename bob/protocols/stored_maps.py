"""Maps of images that are stored once, as rows of features are, for heads that are trained on them.

An image takes 4 h w D bytes in the store, or half of it in float16. They are mapped from their
files, and read in parts.
"""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.errors import UndefinedError
from bob.features.store import Features
from bob.protocols.dense import MapSettings, squashed
from bob.protocols.needs import FeatureNeed, Inputs, Needs
from bob.specs import BackboneSpec


class StoredMapSettings(MapSettings):
    """Which maps are stored."""

    max_gib: Annotated[float, Field(gt=0)]
    """Most that the maps of one set of images may take; a cell that needs more is not
    applicable."""


@dataclass(frozen=True, eq=False)
class StoredMaps:
    """The maps of the images of a set that could be read."""

    features: Features
    split: Split

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.features)


def map_needs(
    settings: StoredMapSettings, backbone: BackboneSpec, sets: Sequence[ImageSet]
) -> list[FeatureNeed]:
    """Return the needs of the maps of sets of images, squashed to the side of the settings."""
    variant, most = squashed(backbone, settings), int(settings.max_gib * 2**30)
    return [FeatureNeed(variant, images, accepts_grids=True, max_bytes=most) for images in sets]


def maps_by_set(needs: Needs, dataset: Dataset, inputs: Inputs) -> dict[str, StoredMaps]:
    """Return the maps of `map_needs` by the names of their sets, in the order of the needs."""
    found = {}
    for need in needs:
        assert isinstance(need, FeatureNeed)
        found[need.name] = StoredMaps(inputs.features(need), need.images.open(dataset))
    return found


def require_images(sets: Mapping[str, Sized]) -> None:
    """Raise UndefinedError where no image of a set could be read."""
    for name, images in sets.items():
        if not len(images):
            raise UndefinedError(f"no image of {name} can be read")
