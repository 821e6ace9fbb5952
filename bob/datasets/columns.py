"""Columns of a listing that an entry makes its classes, its groups or the thing to retrieve."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bob.datasets.conditions import SplitConditions, admits, column
from bob.datasets.content.sequences import take
from bob.datasets.listing import ImageListing
from bob.errors import DatasetError
from bob.specs import DatasetSpec


def conditions_of(spec: DatasetSpec) -> SplitConditions | None:
    """Return the conditions of an entry's splits; None where it has none, or is for retrieval."""
    if spec.retrieve is not None or not spec.has_conditions:
        return None
    return SplitConditions(spec.train, spec.val, spec.test, spec.shift)


def with_columns(spec: DatasetSpec, listing: ImageListing) -> ImageListing:
    """Return the listing with the classes, groups and images that the entry's columns name."""
    if spec.group is not None:
        groups = column(listing, spec.group)
        if "" in groups:
            raise DatasetError(
                f"{listing.where}: {listing.ids[list(groups).index('')]!r} has no value of the "
                f"group {spec.group!r}. Fill it: images of unknown groups cannot be kept together."
            )
        listing = dataclasses.replace(listing, groups=groups)
    if spec.label is not None and spec.has_conditions:
        listing = _with_labels(listing, column(listing, spec.label))
    return listing if spec.retrieve is None else _for_retrieval(spec, listing, spec.retrieve)


def _with_labels(listing: ImageListing, labels: Sequence[str]) -> ImageListing:
    return dataclasses.replace(listing, labels=labels, label_sets=None, classes=None)


def _for_retrieval(spec: DatasetSpec, listing: ImageListing, name: str) -> ImageListing:
    """Return the images that have a value of the column, all in test, with that value as class."""
    values = np.array(column(listing, name), dtype=object)
    kept = values != ""
    unread = dict(listing.unread)
    if without := int((~kept).sum()):
        unread[f"images without a value of {name!r}"] = without
    for attribute, admitted in spec.test.items():
        kept &= admits(listing, attribute, admitted)
    positions = np.flatnonzero(kept)
    if not len(positions):
        raise DatasetError(
            f"{listing.where}: no image that test admits has a value of {name!r}, by which to "
            "retrieve."
        )
    read, captions = listing.read, listing.captions
    return dataclasses.replace(
        listing,
        ids=take(listing.ids, positions),
        content=take(listing.content, positions),
        read=lambda i: read(int(positions[i])),
        splits=["test"] * len(positions),
        labels=values[positions].tolist(),
        label_sets=None,
        classes=None,
        groups=None if listing.groups is None else take(listing.groups, positions),
        attributes={
            attribute: take(of_images, positions)
            for attribute, of_images in listing.attributes.items()
        },
        captions=captions and [captions[i] for i in positions.tolist()],
        split_content=None,
        unread=unread,
    )
