"""Triplets: which of two images is the more similar to a reference, as people see it.

Features choose the image with the higher cosine to the reference; the score is the share of choices
that agree with people's (two-alternative forced choice). Nothing is trained. NIGHTS is scored so by
its authors (DreamSim, Fu et al. 2023, arXiv:2306.09344; github.com/ssundaram21/dreamsim,
`evaluation/score.py`): a tie counts half. Where the dataset's entry names attributes (`group_by`),
each of their values has a score too.

Differs from that code in one point: cosines are in float64, and those within 1e-13 are tied.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError, UndefinedError
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.outcomes import TripletChoices
from bob.protocols.caveats import features_checked
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.yaml import Closed


class TripletSettings(Closed):
    """Triplets have no settings."""


@dataclass(frozen=True, eq=False)
class TripletProblem:
    """N references and the two images of each, by rows of features."""

    references: Floats
    """(N, D)"""
    images: Floats
    """(M, D)"""
    chosen: Ints
    """(N,) the row of `images` that people chose."""
    other: Ints
    """(N,) the row of `images` that they did not choose."""
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Attribute → N values, by which there are scores too."""


class Triplets(Protocol[TripletSettings, TripletProblem]):
    """The more similar of two images by cosine."""

    name = "triplets"
    settings = TripletSettings
    kinds = frozenset({"triplets"})
    outcomes = (TripletChoices,)

    def needs(self, settings: TripletSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        require_splits(dataset, "query", "gallery")
        if not {"chosen", "other"} <= set(dataset.judgements or {}):
            raise NotApplicableError(
                f"needs choices between two images; dataset {dataset.name!r} has none."
            )
        return [FeatureNeed(backbone, ImageSet(name)) for name in ("query", "gallery")]

    def build(
        self, settings: TripletSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> TripletProblem:
        """Return the triplets whose three images could be read; UndefinedError where none is."""
        queries, gallery = (
            inputs.features(need) for need in needs if isinstance(need, FeatureNeed)
        )
        row_of = np.full(len(dataset.splits["gallery"]), -1)
        row_of[gallery.positions] = np.arange(len(gallery.positions))
        judged = dataset.judgements or {}
        chosen, other = (
            row_of[[judged[level][query][0] for query in queries.positions.tolist()]]
            for level in ("chosen", "other")
        )
        readable = np.flatnonzero((chosen >= 0) & (other >= 0))
        if not len(readable):
            raise UndefinedError("there is no triplet of which all images can be read")
        split = dataset.splits["query"].take(queries.positions[readable])
        attributes = {name: split.attributes[name] for name in dataset.group_by or ()}
        return TripletProblem(
            queries.rows[readable], gallery.rows, chosen[readable], other[readable], attributes
        )

    def solve(self, problem: TripletProblem, settings: TripletSettings, device: str) -> Result:
        checked = features_checked(reference=problem.references, image=problem.images)
        agreement = _agreement(problem)
        choices = TripletChoices(agreement)
        ties = float((agreement == 0.5).mean())
        parts = (ResultPart(choices), *_parts(choices, problem.attributes))
        return Result(parts, {"triplets": len(choices), "tied": ties}, checked)


def _agreement(problem: TripletProblem) -> Doubles:
    """Return the agreement (N,) of `TripletChoices`."""
    from bob.numerics.search.neighbours import exact_similarities
    from bob.numerics.search.similarity import EQUAL

    chosen, other = (
        exact_similarities(problem.images, problem.references, rows)
        for rows in (problem.chosen, problem.other)
    )
    gap = chosen - other
    agreement: Doubles = np.where(np.abs(gap) <= EQUAL, 0.5, gap > 0)
    return agreement


def _parts(
    choices: TripletChoices, attributes: Mapping[str, Sequence[str]]
) -> Iterator[ResultPart]:
    """Yield the choices for the triplets of each value of each attribute."""
    for name, values in attributes.items():
        for value in sorted(set(values)):
            of_value = choices.take(np.flatnonzero(np.array(values, object) == value))
            yield ResultPart(of_value, f"{name}={value}", facets={name: value})


PROTOCOL = Triplets()
