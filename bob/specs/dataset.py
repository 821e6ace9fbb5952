"""Dataset specs: the source of images, labels and splits, and the facts needed to use them."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.specs.data_options import GROUP, LABEL, Conditions, DataOptions
from bob.specs.numbers import Count
from bob.specs.sources import (
    FolderSource,
    HuggingFaceSource,
    PairedFoldersSource,
    ParquetSource,
    Role,
    SampleSource,
    Source,
    TableSource,
)
from bob.specs.yaml import Closed

DatasetKind = Literal[
    "classification", "multi-label", "retrieval", "image-text", "detection", "segmentation",
    "depth", "correspondence", "triplets", "object-detection", "video",
]  # fmt: skip
OfficialMetric = Literal[
    "top1", "mean_per_class", "macro_f1", "worst_group", "label_set_top1", "label_ap",
    "label_ap_11_point", "roc_auc", "hit_at", "mean_ap", "mean_ap_trapezoid", "mean_ap_at",
    "auroc", "aupr_out", "mce", "micro_ap", "gap", "mean_iou", "delta1", "depth_rmse", "pck",
    "two_afc", "box_ap", "box_ap_50", "box_ap_voc07", "corloc", "j_and_f",
]  # fmt: skip
METRICS_BY_KIND: dict[DatasetKind, tuple[OfficialMetric, ...]] = {
    "classification": ("top1", "mean_per_class", "macro_f1", "worst_group", "roc_auc", "mce"),
    "multi-label": ("label_set_top1", "label_ap", "label_ap_11_point", "roc_auc", "micro_ap"),
    "retrieval": ("hit_at", "mean_ap", "mean_ap_trapezoid", "mean_ap_at", "gap"),
    "image-text": ("hit_at",),
    "detection": ("aupr_out", "auroc"),
    "segmentation": ("mean_iou",),
    "depth": ("delta1", "depth_rmse"),
    "correspondence": ("pck",),
    "triplets": ("two_afc",),
    "object-detection": ("box_ap", "box_ap_50", "box_ap_voc07", "corloc"),
    "video": ("j_and_f",),
}
"""Metrics that `metric` may name, by kind of dataset.

All but those in `UNSCORED_METRICS` are names in `bob.metrics`.
"""
UNSCORED_METRICS: dict[OfficialMetric, str] = {
    "mce": "divided by the errors of AlexNet",
    "micro_ap": "average precision of all images and classes as one list",
    "gap": "average precision of all queries as one list",
}
"""Metrics that publications quote but no task computes, with their definitions."""

_OF_IMAGES = (LABEL, GROUP)


_ATTRIBUTES_OF_READERS = {
    "cifar_c": ("corruption", "severity"),
    "dollar_street": ("income", "region", "country"),
    "nights": ("prompts",),
}


class DownloadSize(Closed):
    """Size of a dataset's download, and the source of that figure."""

    mb: Count
    """Size in megabytes (10^6 bytes)."""
    of: Literal["files", "original"]
    """What the size refers to.

    `files`: the files that this entry downloads, or asks the user to provide. `original`: the
    official archives, which a copy on the hub re-encodes or holds in part.
    """
    source: str


class ShiftSpec(Closed):
    """An additional test set of a dataset's family."""

    dataset: str | None = None
    """The entry that holds it; None is this entry before its own `where`."""
    split: Role = "test"
    """Split of that entry."""
    where: dict[str, Annotated[tuple[str, ...], Field(strict=False)]] = {}
    """Attribute → admitted values; only images that match all attributes are used."""
    kind: Literal["shift", "near", "far"] = "shift"
    """`shift`: the same classes under other conditions. `near`, `far`: images of none of the
    classes, similar or dissimilar to them."""


class PairedGroups(Closed):
    """Values of an attribute that make images of the same classes easy or hard."""

    attribute: str
    easy: str
    """Glob of the values of easy images: common-*."""
    hard: str
    """Glob of the values of hard images: counter-*."""
    caveat: str | None = None
    """What must be known of any comparison of the two; a note of the dataset in every record."""

    def side(self, value: str) -> int:
        """Return 0 for a value of easy images, 1 for one of hard images and -1 for others."""
        if fnmatchcase(value, self.easy):
            return 0
        return 1 if fnmatchcase(value, self.hard) else -1


def source_attributes(source: Source, requested: str) -> tuple[str, ...]:
    """Return the attributes that a source gives its images.

    Tables and samples list theirs only when they are opened: for these, return `requested`.
    """
    if isinstance(source, TableSource | SampleSource):
        return (requested,)
    if isinstance(source, HuggingFaceSource | ParquetSource | FolderSource):
        return tuple(source.attributes)
    return _ATTRIBUTES_OF_READERS.get(source.reader, ())


class DatasetSpec(Closed):
    """Registry entry of a dataset: its source, and the facts by which it is checked and quoted."""

    name: str
    source: Source
    groups: tuple[str, ...] = Field((), strict=False)
    kind: DatasetKind = "classification"
    """Problem that the dataset poses."""
    metric: OfficialMetric | None = None
    """Metric that published results quote."""
    evaluation: str | None = None
    """The official evaluation, and how this entry differs from it."""
    classes: Count | None = None
    """Number of classes, checked on load."""
    counts: dict[Role, Count] = {}
    """Number of images per split, checked on load."""
    images: Count | None = None
    """Number of images of all splits and shifts, checked on load; for automatic splits."""
    class_names: str | Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """Class names in label order, or the name of a list in `tasks/classes`.

    Labels that are text must be among them.
    """
    class_range: tuple[int, int] | None = Field(None, strict=False)
    """Half-open range of class indices to keep: the half that metric learning tests on."""
    label: str | None = None
    """Attribute whose values are the classes, in place of the source's labels."""
    least: dict[Role, Count] = {}
    """Split → fewest images of a class; classes with fewer are left out: {train: 12, test: 2}."""
    where: dict[str, Annotated[tuple[str, ...], Field(strict=False)]] = {}
    """Attribute → admitted values: {cell_type: [mono]}. Other images are dropped."""
    leave_out: dict[str, Annotated[tuple[str, ...], Field(strict=False)]] = {}
    """Attribute → held-out values: {domain: [photo]}.

    Images with one of these values form a shift, named after the value; all other images are split
    automatically.
    """
    train: Conditions = {}
    val: Conditions = {}
    test: Conditions = {}
    """Images of each split by the values of attributes: train: {vendor: [apple]}.

    Images that train and test both admit are divided automatically. Without `train`, it admits all
    images that no other split or shift names; without `test`, it admits what train does.
    """
    shift: Conditions = {}
    """Attribute → values, each of which is a further test set: {vendor: [google, twitter]}."""
    group: str | None = None
    """Attribute whose equal values stay on one side of every split: patient."""
    retrieve: str | None = None
    """Attribute whose equal values are to be retrieved. All images are queries and gallery, in
    place of splits."""
    options: DataOptions | None = None
    """The flags that made this entry of `--data`; None for entries of a registry."""
    test_split: str | None = None
    """Split that serves as the test split, by its name or by the name of its folder: `val`, `eval`.

    For folders, tables and Parquet files; other sources name their splits in the source.
    """
    shifts: dict[str, ShiftSpec] = {}
    """Additional test sets: the same classes under other conditions, or none of the classes."""
    worst_group: str | None = None
    """Attribute whose values define the groups of a worst-group score."""
    group_by: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Attributes by which accuracy is compared: [cell_type]."""
    paired: PairedGroups | None = None
    """Easy and hard images of the same classes, whose accuracies are compared class by class."""
    target: str | None = None
    """Attribute whose numbers a regression predicts; a table's column `target` without it."""
    normal: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Classes that are normal, where all others are anomalies: [functional]."""
    frequency: dict[str, str] = {}
    """Corpus → JSON file of class name → how often the class occurs in it: {laion400m: a.json}.

    `$BOB_DATA/...` is resolved as for sources; other paths are relative to the entry's file.
    """
    licence: str | None = None
    gated: bool = False
    """Whether terms must be accepted, or a form sent, before the download."""
    download: DownloadSize | None = None
    """Size of the download, if a public source states it.

    `bob-bench datasets prefetch` asks the hub for the exact sum of its files.
    """
    obtain: str | None = None
    """For datasets without a copy on the hub: where to get the data, and how to lay it out."""
    caveats: tuple[str, ...] = Field((), strict=False)
    """Pitfalls of the dataset: other splits under the same name, duplicates, leaks."""
    paper: str | None = None
    summary: str = ""

    @model_validator(mode="after")
    def _check_consistency(self) -> "DatasetSpec":
        if self.metric and self.metric not in METRICS_BY_KIND[self.kind]:
            raise ValueError(
                f"metric must be one of {', '.join(METRICS_BY_KIND[self.kind])} for kind "
                f"{self.kind!r}; got {self.metric!r}"
            )
        if self.class_range and not 0 <= self.class_range[0] < self.class_range[1]:
            raise ValueError(
                f"class_range must be [first, end] with 0 <= first < end; "
                f"got {list(self.class_range)!r}"
            )
        if self.test_split is not None:
            self._check_test_split()
        self._check_attributes("worst_group", (self.worst_group,) if self.worst_group else ())
        self._check_attributes("label", (self.label,) if self.label else ())
        self._check_attributes("target", (self.target,) if self.target else ())
        self._check_attributes("group_by", self.group_by)
        if self.paired and self.paired.attribute not in self.group_by:
            raise ValueError(
                f"paired compares values of {self.paired.attribute!r}, which group_by must name; "
                f"got {list(self.group_by)!r}"
            )
        self._check_attributes("where", self.where)
        self._check_attributes("leave_out", self.leave_out)
        self._check_conditions()
        if self.leave_out and (self.where or self.counts):
            conflict = "where" if self.where else "counts"
            raise ValueError(
                f"leave_out cannot be combined with {conflict!r}, because the remaining images "
                f"are split automatically; declare the total number of images as 'images' instead"
            )
        return self

    @property
    def has_conditions(self) -> bool:
        """Whether splits are chosen by values of attributes."""
        return bool(self.train or self.val or self.test or self.shift)

    def _check_conditions(self) -> None:
        """Raise if conditions of splits name other attributes, or contradict other keys."""
        stated = {"train": self.train, "val": self.val, "test": self.test, "shift": self.shift}
        for field, conditions in stated.items():
            self._check_attributes(field, [name for name in conditions if name not in _OF_IMAGES])
        for field, name in (("group", self.group), ("retrieve", self.retrieve)):
            self._check_attributes(field, (name,) if name and name not in _OF_IMAGES else ())
        if not (self.has_conditions or self.retrieve):
            return
        used = [field for field, conditions in stated.items() if conditions]
        if self.retrieve and set(used) - {"test"}:
            raise ValueError(
                "retrieve makes all images queries and gallery; it can be combined with 'test', "
                f"which chooses them, and not with {(set(used) - {'test'}).pop()!r}"
            )
        for field, value in (("leave_out", self.leave_out), ("least", self.least)):
            if value:
                raise ValueError(f"{field} cannot be combined with {(used or ['retrieve'])[0]!r}")

    def _check_test_split(self) -> None:
        """Raise if the source names its splits itself, or has none to choose from."""
        source = self.source
        readers = FolderSource | TableSource | ParquetSource | PairedFoldersSource
        if not isinstance(source, readers) or source.splits:
            raise ValueError(
                "test_split applies to folders, tables and Parquet files without 'splits' of their "
                f"own; name the test split in the source; got {self.test_split!r}"
            )
        one_split = isinstance(source, TableSource) and source.split
        if self.leave_out or one_split or (isinstance(source, FolderSource) and source.levels):
            raise ValueError(
                "test_split cannot be combined with 'leave_out', nor with a table's 'split' or a "
                f"folder's 'levels'; got {self.test_split!r}"
            )

    def _check_attributes(self, field: str, names: Iterable[str]) -> None:
        """Raise if `field` names an attribute that the source does not provide."""
        for name in names:
            if name not in source_attributes(self.source, name):
                available = ", ".join(source_attributes(self.source, "")) or "none"
                raise ValueError(
                    f"{field} names the attribute {name!r}, which the source does not provide; "
                    f"available attributes: {available}"
                )
