"""Clusters of test images without any label, compared with their classes.

As many clusters as classes, on rows of length 1, as in Lowe et al. 2024 (arXiv:2406.02465; code:
scottclowe/zs-ssl-clustering): k-means (k-means++ starts, the best of several by inertia), and
agglomerative clustering with Ward's linkage; both are scikit-learn's. Train images are not read,
and nothing is chosen. The number of classes is given, which a user without labels would not know.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError, UnreadableImageError
from bob.numerics.arrays import Floats, Ints
from bob.outcomes import ClusterAssignments
from bob.protocols.caveats import features_checked
from bob.protocols.classification import CLASS_KINDS, require_single_labels
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

ClusterMethod = Literal["kmeans", "ward"]


class ClusterSettings(Closed):
    """Settings of clustering."""

    methods: tuple[ClusterMethod, ...] = Field(strict=False, min_length=1)
    """The first one ranks."""
    restarts: Count
    """Number of starts of k-means."""
    most_ward: Count
    """Most images for Ward's linkage, whose time grows with their square."""


@dataclass(frozen=True, eq=False)
class ClusterProblem:
    """Test features and classes."""

    x: Floats
    """(N, D)"""
    y: Ints
    """(N,)"""
    seed: int = 0


class Clustering(Protocol[ClusterSettings, ClusterProblem]):
    """Each method's clusters, compared with the classes."""

    name = "cluster"
    settings = ClusterSettings
    kinds = CLASS_KINDS
    outcomes = (ClusterAssignments,)

    def needs(self, settings: ClusterSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        require_splits(dataset, "test")
        require_single_labels(dataset)
        y = dataset.splits["test"].y
        if (y < 0).any() or len(np.unique(y)) < 2:
            raise NotApplicableError(
                f"needs test images of at least two classes, all with a class; those of dataset "
                f"{dataset.name!r} are not."
            )
        return [FeatureNeed(backbone, ImageSet("test"))]

    def build(
        self, settings: ClusterSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> ClusterProblem:
        (need,) = needs
        assert isinstance(need, FeatureNeed)
        features = inputs.features(need)
        if not len(features):
            raise UnreadableImageError("none of the images of test can be read.")
        return ClusterProblem(features.rows, dataset.splits["test"].y[features.positions], seed)

    def solve(self, problem: ClusterProblem, settings: ClusterSettings, device: str) -> Result:
        checked = features_checked(test=problem.x)
        parts = []
        for i, method in enumerate((settings.methods[0], *settings.methods)):
            undefined, outcome = None, None
            if method == "ward" and len(problem.x) > settings.most_ward:
                undefined = f"Ward's linkage is for at most {settings.most_ward:,} images"
            else:
                outcome = ClusterAssignments(problem.y, assign(problem, method, settings.restarts))
            facets = {"method": method}
            parts.append(
                ResultPart(
                    outcome,
                    method if i else "",
                    facets=facets,
                    stored=bool(i),
                    undefined=undefined,
                )
            )
        return Result(tuple(parts), {"clusters": len(np.unique(problem.y))}, checked)

    def uses_seed(self, settings: ClusterSettings, dataset: Dataset) -> bool:
        return "kmeans" in settings.methods


def assign(problem: ClusterProblem, method: ClusterMethod, restarts: int) -> Ints:
    """Return the cluster (N,) of every image; one cluster where all rows are equal."""
    from sklearn.cluster import AgglomerativeClustering, KMeans

    from bob.numerics.search.similarity import unit

    rows = unit(problem.x)
    clusters = min(len(np.unique(problem.y)), len(np.unique(rows, axis=0)))
    if clusters < 2:
        return np.zeros(len(rows), np.int64)
    if method == "kmeans":
        model = KMeans(clusters, n_init=restarts, random_state=problem.seed)
    else:
        model = AgglomerativeClustering(clusters, linkage="ward")
    labels: Ints = model.fit_predict(rows).astype(np.int64)
    return labels


PROTOCOL = Clustering()
