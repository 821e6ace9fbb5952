"""What a task file holds: one setting of one protocol, its metrics and the datasets it runs on."""

from typing import Literal

from pydantic import Field, SerializeAsAny

from bob.specs.numbers import Count
from bob.specs.yaml import Closed

Protocol = Literal[
    "linear",
    "knn",
    "ridge",
    "multilabel",
    "fewshot",
    "episodes",
    "ood",
    "ood_detection",
    "retrieval",
    "zeroshot",
    "image_text",
    "corruptions",
    "resize_normalise",
]
"""The names in `bob.specs.settings`."""
MetricName = Literal[
    "top1",
    "top5",
    "mean_per_class",
    "balanced_accuracy",
    "macro_f1",
    "log_loss",
    "ece",
    "few_shot_top1",
    "label_efficiency",
    "shifted_top1",
    "drop",
    "relative_drop",
    "worst_group",
    "auroc",
    "aupr_in",
    "aupr_out",
    "fpr_at_95_tpr",
    "mean_ap",
    "mean_ap_trapezoid",
    "map_at_r",
    "r_precision",
    "mrr",
    "hit_at",
    "precision_at",
    "recall_at",
    "mean_ap_at",
    "precision_until",
    "corruption_error",
    "corruption_drop",
    "top1_gain",
    "label_ap",
    "label_ap_11_point",
    "roc_auc",
    "label_set_top1",
]
"""The names in `bob.metrics`."""


class TaskSpec(Closed):
    """One setting of one protocol, its metrics and the datasets it runs on."""

    name: str
    version: Count
    protocol: Protocol
    summary: str
    settings: SerializeAsAny[Closed]
    """Of the protocol's own class, see `bob.specs.settings`."""
    metrics: tuple[MetricName, ...] = Field(strict=False, min_length=1)
    """Metrics of the outcome; the first is the one that ranks."""
    datasets: tuple[str, ...] = Field(strict=False, min_length=1)
    """Names, globs and groups; where it runs when no dataset is named."""
    groups: tuple[str, ...] = Field((), strict=False)
    """`core` are the tasks that run when none is named: one per question, none of which embeds images of its own making."""
