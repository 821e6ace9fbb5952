"""Which pages the outcomes of dense tasks have."""

from collections.abc import Callable, Sequence
from typing import Any

from bob.outcomes import (
    BoxMatches,
    DepthErrors,
    DiscoveredBoxes,
    FollowedObjects,
    MaskMatches,
    PairHits,
    SegmentationCounts,
)
from bob.pictures.boxes import box_sections, discovery_sections, mask_sections
from bob.pictures.correspondence import correspondence_sections
from bob.pictures.examples import LabelledArrays
from bob.pictures.pixels import depth_sections, segmentation_sections, video_sections
from bob.pictures.view import Sections, View

DenseSections = Callable[[Sequence[LabelledArrays], View], Sections]
_SECTIONS: dict[type, DenseSections] = {
    SegmentationCounts: segmentation_sections,
    DepthErrors: depth_sections,
    PairHits: correspondence_sections,
    BoxMatches: box_sections,
    MaskMatches: mask_sections,
    DiscoveredBoxes: discovery_sections,
    FollowedObjects: video_sections,
}


def dense_sections_of(outcome: Any) -> DenseSections | None:
    """Return the function that shows an outcome's images; None where it is of no dense task."""
    return _SECTIONS.get(type(outcome))
