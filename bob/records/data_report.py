"""The content of a dataset, as far as it is known before anything is computed."""

from typing import Annotated

from pydantic import Field

from bob.specs.yaml import Closed

Count = Annotated[int, Field(ge=0)]
Names = Annotated[tuple[str, ...], Field(strict=False)]


class ClassSize(Closed):
    """A class and its number of images."""

    name: str
    images: Count


class Conflict(Closed):
    """Byte-identical images under different labels."""

    images: Names
    """Ids of an image of each label."""
    labels: Names


class SplitReport(Closed):
    """The images of one split."""

    images: Count
    classes: Count
    """Number of classes that occur."""
    smallest: ClassSize | None = None
    largest: ClassSize | None = None
    duplicates: Count
    """Images whose bytes another image of the split has too, counted without one of them."""
    traits: dict[str, Count] = {}
    """Kind of image, by the names of `bob.datasets.content.traits.Trait` → its number."""
    unreadable: Names = ()
    """Ids of some of the images whose header cannot be read."""
    cut: Names = ()
    """Ids of some of the images that are cut short behind their header."""


class SharedImages(Closed):
    """Images that occur in two splits."""

    split: str
    other: str
    images: Count
    """Number of images of `split` that are byte-identical to an image of `other`."""


class DataReport(Closed):
    """Images, classes, splits and groups of a dataset, and what is suspicious about them."""

    images: Count
    classes: Count
    smallest: Annotated[tuple[ClassSize, ...], Field(strict=False)] = ()
    """The classes with the fewest images of all splits."""
    largest: Annotated[tuple[ClassSize, ...], Field(strict=False)] = ()
    split_source: str
    """Where the splits come from."""
    splits: dict[str, SplitReport]
    """By the names of splits and shifts."""
    groups: Count | None = None
    """Number of groups; None where images have none."""
    largest_group: ClassSize | None = None
    conflicting_contents: Count = 0
    """Distinct images (by their bytes) that have several labels."""
    conflicting_images: Count = 0
    """Images that are one of these."""
    conflicts: Annotated[tuple[Conflict, ...], Field(strict=False)] = ()
    """Some of them."""
    shared: Annotated[tuple[SharedImages, ...], Field(strict=False)] = ()
    unread: dict[str, Count] = {}
    """Kind of file that is present but not read → number of such files."""
