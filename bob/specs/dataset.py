"""What the registry of datasets holds: where images, labels and splits come from, and what must be known to use them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.specs.numbers import Count
from bob.specs.sources import (
    FolderSource,
    HuggingFaceSource,
    Role,
    SampleSource,
    Source,
    TableSource,
)
from bob.specs.yaml import Closed

Kind = Literal["classification", "multi-label", "retrieval", "image-text", "detection"]
OfficialMetric = Literal[
    "top1", "mean_per_class", "macro_f1", "worst_group", "label_set_top1", "label_ap", "label_ap_11_point", "roc_auc", "hit_at",
    "mean_ap", "mean_ap_trapezoid", "mean_ap_at", "auroc", "aupr_out", "mce", "micro_ap", "gap",
]  # fmt: skip
METRICS_OF: dict[str, tuple[OfficialMetric, ...]] = {
    "classification": ("top1", "mean_per_class", "macro_f1", "worst_group", "roc_auc", "mce"),
    "multi-label": ("label_set_top1", "label_ap", "label_ap_11_point", "roc_auc", "micro_ap"),
    "retrieval": ("hit_at", "mean_ap", "mean_ap_trapezoid", "mean_ap_at", "gap"),
    "image-text": ("hit_at",),
    "detection": ("aupr_out", "auroc"),
}
"""What may be quoted for each kind of dataset: names in `bob.metrics`, but for those in `NOT_OURS`."""
NOT_OURS: dict[OfficialMetric, str] = {
    "mce": "divided by the errors of AlexNet",
    "micro_ap": "average precision of all images and classes as one list",
    "gap": "average precision of all queries as one list",
}
"""Quoted, and scored by no task."""


class Download(Closed):
    """How much a set weighs, and who says so."""

    mb: Count
    """Megabytes (10^6 bytes)."""
    of: Literal["files", "original"]
    """`files`: what this entry downloads, or asks to lay down. `original`: the official archives, which a hub copy encodes anew, or in part."""
    source: str


class ShiftSpec(Closed):
    """A further test set of a dataset's family."""

    dataset: str | None = None
    """The entry that holds it; None is this entry before its own `where`."""
    split: Role = "test"
    """Which split of that entry."""
    where: dict[str, Annotated[tuple[str, ...], Field(strict=False)]] = {}
    """Only images with one of these values of each attribute."""
    kind: Literal["shift", "near", "far"] = "shift"
    """The same classes under other conditions, or images of none of the classes: close to them, or far from them."""


def facts_of(source: Source, asked: str) -> tuple[str, ...]:
    """The attributes that a source gives its images; of a table or a sample, which tell when they are opened, the one that is asked for."""
    if isinstance(source, TableSource | SampleSource):
        return (asked,)
    if isinstance(source, HuggingFaceSource):
        return tuple(source.attributes)
    if isinstance(source, FolderSource):
        return source.levels
    return ("corruption", "severity") if source.reader == "cifar_c" else ()


class DatasetSpec(Closed):
    """Images, labels and splits, and the facts by which they are checked and quoted."""

    name: str
    source: Source
    groups: tuple[str, ...] = Field((), strict=False)
    kind: Kind = "classification"
    """What is asked of the images."""
    metric: OfficialMetric | None = None
    """What published results quote."""
    evaluation: str | None = None
    """The official evaluation, and where this entry differs from it."""
    classes: Count | None = None
    """The class count, checked on load."""
    counts: dict[Role, Count] = {}
    """Images per split, checked on load."""
    images: Count | None = None
    """Images of all splits and shifts together, checked on load: where the split is an automatic one."""
    class_names: str | Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """Names in the order of the labels' numbers, or the name of a list in `tasks/classes`. Text labels must be among them."""
    class_range: tuple[int, int] | None = Field(None, strict=False)
    """Only classes at these places, from the first and before the last: the half that metric learning tests on."""
    where: dict[str, Annotated[tuple[str, ...], Field(strict=False)]] = {}
    """Only images with one of these values of each attribute: {cell_type: [mono]}."""
    leave_out: dict[str, Annotated[tuple[str, ...], Field(strict=False)]] = {}
    """Images with one of these values are a shift, named after the value, and the others are split automatically: {domain: [photo]}."""
    shifts: dict[str, ShiftSpec] = {}
    """Further test sets: the same classes under other conditions, or none of them."""
    worst_group: str | None = None
    """The attribute whose groups a worst-group score looks at."""
    licence: str | None = None
    gated: bool = False
    """Its terms must be accepted, or a form be sent, before it can be downloaded."""
    download: Download | None = None
    """What has to be fetched, where a public source says it. `bob-bench datasets prefetch` asks the hub for the exact sum of its files."""
    obtain: str | None = None
    """For sets without a hub copy: where to get the data, and how to lay it out."""
    caveats: tuple[str, ...] = Field((), strict=False)
    """Where the set misleads: other splits under the same name, duplicates, leaks."""
    paper: str | None = None
    summary: str = ""

    @model_validator(mode="after")
    def _agrees(self) -> "DatasetSpec":
        if self.metric and self.metric not in METRICS_OF[self.kind]:
            raise ValueError(
                f"metric must be one of {', '.join(METRICS_OF[self.kind])} for kind {self.kind!r}; got {self.metric!r}"
            )
        if self.class_range and not 0 <= self.class_range[0] < self.class_range[1]:
            raise ValueError(
                f"class_range must be a first place and a later one; got {list(self.class_range)!r}"
            )
        for field, names in (
            ("worst_group", filter(None, [self.worst_group])),
            ("where", self.where),
            ("leave_out", self.leave_out),
        ):
            if strange := [name for name in names if name not in facts_of(self.source, name)]:
                known = ", ".join(facts_of(self.source, "")) or "none"
                raise ValueError(
                    f"{field} names the attribute {strange[0]!r}, which its source does not tell. Known: {known}"
                )
        if self.leave_out and (self.where or self.counts):
            raise ValueError(
                "leave_out makes an automatic split of what is left: it goes with 'images', not with 'where' or 'counts'"
            )
        return self
