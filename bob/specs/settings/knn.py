"""Settings of k-NN."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.specs.numbers import Count
from bob.specs.yaml import Closed


class KnnSettings(Closed):
    """Settings of k-NN; see `bob.protocols.knn`."""

    k: tuple[Count, ...] = Field(strict=False, min_length=1)
    metric: Literal["cosine", "euclidean"]
    """Cosine similarity of L2-normalised features, or Euclidean distance of the features as they are."""
    vote: Literal["weighted", "majority"]
    """A neighbour's vote weighs exp(similarity / temperature), or 1."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Of the weighted vote."""
    held_out: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of train, per class, on which one of several k is chosen where the dataset has no val split."""
    max_queries: Count = 10_000
    """At most this many held-out examples are searched when k is chosen."""

    @model_validator(mode="after")
    def _temperature_of_the_weighted_vote(self) -> "KnnSettings":
        if self.vote == "weighted" and self.temperature is None:
            raise ValueError("'temperature' is missing: vote 'weighted' needs one (0.07 in DINO)")
        if self.vote == "majority" and self.temperature is not None:
            raise ValueError(
                f"'temperature' belongs to vote 'weighted'; got {self.temperature!r} with vote 'majority'"
            )
        return self

    @model_validator(mode="after")
    def _held_out_where_k_is_chosen(self) -> "KnnSettings":
        if len(self.k) > 1 and self.held_out is None:
            raise ValueError(
                "'held_out' is missing: with several k, the one that ranks is chosen on held-out train data (a share such as 0.2)"
            )
        if len(self.k) == 1 and self.held_out is not None:
            raise ValueError(
                f"'held_out' belongs to several k; got {self.held_out!r} with k {list(self.k)!r}, which leaves nothing to choose"
            )
        return self
