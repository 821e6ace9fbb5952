"""Options of `--data` for your own images: columns, and conditions on their values."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, model_validator

from bob.specs.yaml import Closed

Values = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
Conditions = dict[str, Values]
"""Attribute → admitted values, all of which must hold: {vendor: [apple], style: [flat, line]}."""
LABEL, GROUP = "label", "group"
"""Names by which conditions refer to the class and the group of an image."""


Positive = Annotated[float, Field(gt=0)]
DepthTriple = Annotated[tuple[Positive, Positive, Positive], Field(strict=False)]


class DataOptions(Closed):
    """Columns and conditions that turn a folder or table into a dataset.

    A column is that of a table or of Parquet files, or a level of folders.
    """

    test_split: str | None = None
    """Split to test on, by its name or by that of its folder or file."""
    boxes: str | None = None
    """COCO JSON file with the boxes of the images, as a path or a name in the folder."""
    normal: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Classes that are normal, where all others are anomalies."""
    levels: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Names of the levels of folders, the uppermost first: (vendor, label)."""
    label: str | None = None
    """Column of the classes."""
    group: str | None = None
    """Column whose equal values stay on one side of every split."""
    train: Conditions = {}
    val: Conditions = {}
    test: Conditions = {}
    """Images of each split; where train and test overlap, the images that both admit are divided
    automatically."""
    shift: Conditions = {}
    """Column → values, each of which is a further test set."""
    retrieve: str | None = None
    """Column whose equal values are to be retrieved among all images."""

    depth: DepthTriple | None = None
    """Value of depth maps for a metre, and the least and greatest depth in metres that count."""

    @model_validator(mode="after")
    def _has_a_range(self) -> "DataOptions":
        if self.depth is not None and self.depth[2] <= self.depth[1]:
            raise ValueError(
                f"depth must be (steps, least, most) with most above least; got {self.depth!r}"
            )
        return self

    @property
    def has_conditions(self) -> bool:
        """Whether splits are chosen by values of attributes."""
        return bool(self.train or self.val or self.test or self.shift)

    def stated(self) -> dict[str, object]:
        """Return the options that differ from their defaults, as JSON-ready values."""
        return self.model_dump(mode="json", exclude_defaults=True)


def options_per_column(
    common: Mapping[str, object], labels: Sequence[str], retrieved: Sequence[str]
) -> tuple[DataOptions, ...]:
    """Return `common` options once for each column of classes and each column to retrieve.

    Without such columns, once.
    """
    columns: list[dict[str, str]] = [{"label": name} for name in labels]
    columns += [{"retrieve": name} for name in retrieved]
    return tuple(DataOptions.model_validate({**common, **column}) for column in columns or [{}])
