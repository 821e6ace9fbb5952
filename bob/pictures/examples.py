"""Which examples of dense tasks a page shows: the worst, those that differ, and a sample."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.pictures.page import PageSection, Strip
from bob.pictures.view import Sections

SHOWN = 16
"""Examples of a section."""
ShownArrays = Mapping[str, NDArray[Any]]
"""What a record holds of the examples to show, by name."""
LabelledArrays = tuple[str, ShownArrays]
"""The name of a backbone on the page (A, B; empty for one alone), and its arrays."""


@dataclass(frozen=True)
class ScoredExamples:
    """The examples of one record that can be shown."""

    label: str
    scores: Mapping[int, float]
    """Example → score, of which higher is better; NaN is undefined."""
    sampled: Sequence[int]
    """Examples that were chosen without looking at scores."""


def chosen_sections(
    of_records: Sequence[ScoredExamples], noun: str, measure: str, strip: Callable[[int], Strip]
) -> Sections:
    """Yield the worst examples of one record, or those on which two differ most; and a sample.

    `noun` is what examples are (`images`), `strip` draws one.
    """
    first = of_records[0]
    for other in of_records[1:]:
        for better, worse in ((first, other), (other, first)):
            gaps = {
                i: score - worse.scores[i]
                for i, score in better.scores.items()
                if i in worse.scores and score > worse.scores[i]
            }
            chosen = sorted(gaps, key=lambda i: (-gaps[i], i))[:SHOWN]
            about = (
                f"{len(chosen)} of {len(gaps)} {noun} with a higher {measure} of {better.label}, "
                f"the largest difference first, among the {noun} whose predictions both records "
                "hold."
            )
            yield from _section(f"{better.label} is better", about, chosen, strip)
    if len(of_records) == 1:
        defined = [i for i, score in first.scores.items() if not np.isnan(score)]
        chosen = sorted(defined, key=lambda i: (first.scores[i], i))[:SHOWN]
        about = f"The {len(chosen)} {noun} with the lowest {measure}, the lowest first."
        yield from _section("Worst", about, chosen, strip)
    in_all = [i for i in first.sampled if all(i in each.scores for each in of_records)]
    about = f"{noun.capitalize()} chosen without looking at scores, the same for all backbones."
    yield from _section("Sample", about, in_all[:SHOWN], strip)


def _section(
    title: str, about: str, chosen: Sequence[int], strip: Callable[[int], Strip]
) -> Sections:
    strips = [strip(i) for i in chosen]
    if strips and all(len(each.pictures) == 1 for each in strips):
        strips = [Strip("", [each.pictures[0] for each in strips])]
    if strips:
        yield PageSection(title, about, strips)
