"""Settings of image-to-image retrieval."""

from typing import Literal

from pydantic import Field, model_validator

from bob.specs.numbers import Count
from bob.specs.yaml import Closed


class RetrievalSettings(Closed):
    """Settings of retrieval; see `bob.protocols.retrieval`."""

    metric: Literal["cosine", "euclidean"]
    label: str
    """What a query and its positives share: `class`, `group`, or the name of an attribute. Judgements, where a dataset has them, come first."""
    gallery: Literal["test", "train"] = "test"
    """What test images look in: each other (leave-one-out), or train. A dataset with a query and a gallery split has its own."""
    exclude_groups: bool = True
    """Whether images of the query's own group (patient, site, object) are left out of its ranking, where a dataset has groups."""
    k: tuple[Count, ...] = Field((1, 5, 10), strict=False)
    """Lengths of shortlists."""
    depth: Count | None = None
    """Places down to which rankings are made; None is all of them. With a depth, only metrics of shortlists can be had; they take less time."""
    whiten: Count | None = None
    """Dimensions that PCA-whitening learned on train keeps at most; None is no whitening."""

    @model_validator(mode="after")
    def _agrees(self) -> "RetrievalSettings":
        if list(self.k) != sorted(set(self.k)):
            raise ValueError(f"k must ascend; got {list(self.k)!r}")
        if self.depth is not None and self.k and self.k[-1] >= self.depth:
            raise ValueError(
                f"every k must be below 'depth', at which there is a shortlist anyway; got k {list(self.k)!r} with depth {self.depth!r}"
            )
        if self.label == "group" and self.exclude_groups:
            raise ValueError(
                "label 'group' needs exclude_groups: false; else every positive would be left out"
            )
        return self
