"""Images on which two backbones differ in retrieval, in several labels, or in numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bob.errors import NotApplicableError
from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.outcomes import MultilabelPredictions, Outcome, RegressionResults, RetrievalResults
from bob.pictures.comparison import count_cells
from bob.pictures.page import PageSection, PageTable, Strip
from bob.pictures.pick import agreement_masks
from bob.pictures.view import Sections, View, picture, scored_positions

PICTURES = 60
"""Most images of a section."""
MOST_CLASSES = 6
"""Most classes that are named under an image."""


@dataclass(frozen=True, eq=False)
class ExamplePair:
    """What two backbones A and B say of the same N examples."""

    nouns: str
    """What examples are: `queries` or `test images`."""
    right: tuple[Bools, Bools] | None
    """(N,) each, whether they are right; None where an answer is only nearer or farther."""
    errors: tuple[Doubles, Doubles]
    """(N,) each, how far they are from the best answer."""
    meaning: str
    """What right means, or how errors are measured."""
    lines: Callable[[int, View], Sequence[str]]
    """Captions of an example."""
    rows: Ints
    """(N,) rows of the examples among the scored images of their split."""
    splits: tuple[str, ...] = ("test",)
    """Names that their split can have, the first one that exists."""


def example_pair(a: Outcome | None, b: Outcome | None) -> ExamplePair | None:
    """Return the examples of two outcomes of retrieval, of several labels or of numbers.

    None for none and for outcomes of other kinds. NotApplicableError if their examples differ.
    """
    if isinstance(a, RetrievalResults) and isinstance(b, RetrievalResults):
        return _retrieval_pair(a, b)
    if isinstance(a, MultilabelPredictions) and isinstance(b, MultilabelPredictions):
        return _multilabel_pair(a, b)
    if isinstance(a, RegressionResults) and isinstance(b, RegressionResults):
        return _regression_pair(a, b)
    return None


def _retrieval_pair(a: RetrievalResults, b: RetrievalResults) -> ExamplePair:
    """Return the queries of two rankings."""
    _check(np.array_equal(a.query, b.query) and np.array_equal(a.positives, b.positives))

    def lines(i: int, view: View) -> Sequence[str]:
        return [
            f"{letter}: AP {100 * outcome.ap[i]:.0f} %, first hit at place "
            f"{1 / outcome.reciprocal_rank[i]:.3g}"
            for letter, outcome in (("A", a), ("B", b))
        ]

    return ExamplePair(
        nouns="queries",
        right=(a.reciprocal_rank == 1, b.reciprocal_rank == 1),
        errors=(1 - a.ap, 1 - b.ap),
        meaning="whose first place is a positive",
        lines=lines,
        rows=a.query,
        splits=("query", "test"),
    )


def _multilabel_pair(a: MultilabelPredictions, b: MultilabelPredictions) -> ExamplePair:
    """Return the labelled images of two classifiers with several labels per image."""
    _check(np.array_equal(a.labels, b.labels))
    rows = np.flatnonzero(a.labels.any(1))
    best = [outcome.scores[rows].argmax(1) for outcome in (a, b)]
    right = [a.labels[rows, of_best] for of_best in best]
    misplaced = [_misplaced(outcome.scores[rows], a.labels[rows]) for outcome in (a, b)]

    def lines(i: int, view: View) -> Sequence[str]:
        true = [view.class_name(int(c)) for c in np.flatnonzero(a.labels[rows[i]])]
        more = f" and {len(true) - MOST_CLASSES} more" if len(true) > MOST_CLASSES else ""
        return [
            f"is {', '.join(true[:MOST_CLASSES])}{more}",
            *(
                f"{letter}: {view.class_name(int(c[i]))}"
                for letter, c in zip("AB", best, strict=True)
            ),
        ]

    return ExamplePair(
        nouns="test images",
        right=(right[0], right[1]),
        errors=(misplaced[0], misplaced[1]),
        meaning="whose best-scored class is one of theirs",
        lines=lines,
        rows=rows,
    )


def _regression_pair(a: RegressionResults, b: RegressionResults) -> ExamplePair:
    """Return the images of two regressions."""
    _check(np.array_equal(a.target, b.target))

    def lines(i: int, view: View) -> Sequence[str]:
        return [
            f"is {a.target[i]:.4g}",
            *(f"{letter}: {one.predicted[i]:.4g}" for letter, one in (("A", a), ("B", b))),
        ]

    return ExamplePair(
        nouns="test images",
        right=None,
        errors=(np.abs(a.predicted - a.target), np.abs(b.predicted - b.target)),
        meaning="by the distance of the predicted number from the true one",
        lines=lines,
        rows=np.arange(len(a)),
    )


def pair_sections(pair: ExamplePair, a: str, b: str, view: View) -> Sections:
    """Yield counts, where there is right and wrong, and images of two backbones a and b."""
    if pair.right is not None:
        yield PageSection(
            "Counts",
            f"A is {a}, B is {b}. {pair.nouns.capitalize()} are right {pair.meaning}.",
            table=_table(pair, pair.right),
        )
    name = next((name for name in pair.splits if view.split(name)), "")
    split = view.split(name)
    if split is None:
        return
    unreadable = view.record.dataset.bad_images.get(name, ()) if view.record.dataset else ()
    positions = scored_positions(len(split) - len(unreadable), view, split)
    if positions is None:
        return
    for title, order, chosen in _groups(pair):
        if not len(chosen):
            view.note(f"no section {title!r}: there is no such image.")
            continue
        shown = chosen[:PICTURES]
        count = "All" if len(shown) == len(chosen) else f"{len(shown)} of"
        pictures = [
            picture(split, positions[pair.rows[i]], *pair.lines(int(i), view)) for i in shown
        ]
        about = f"{count} {len(chosen)} {pair.nouns}, {order}."
        yield PageSection(title, about, [Strip("", pictures)])


def _groups(pair: ExamplePair) -> Sequence[tuple[str, str, Ints]]:
    """Return the sections as title, order, and examples in this order."""
    first, second = pair.errors
    gain = second - first
    if pair.right is None:
        order = f"{pair.meaning}: the largest difference first"
        both = "by the smaller of their two errors: the largest first"
        nearest = np.minimum(first, second)
        return (
            ("A is nearer", order, _largest(gain, gain > 0)),
            ("B is nearer", order, _largest(-gain, gain < 0)),
            ("Both are far", both, _largest(nearest, nearest > 0)),
        )
    _, only_a, only_b, neither = agreement_masks(*pair.right)
    order = "the largest error of the other one first"
    return (
        ("Only A is right", order, _largest(second, only_a)),
        ("Only B is right", order, _largest(first, only_b)),
        ("Both are wrong", "the largest errors first", _largest(first + second, neither)),
    )


def _largest(values: Doubles, mask: Bools) -> Ints:
    """Return the positions (M,) where mask (N,) holds, the largest values first."""
    positions = np.flatnonzero(mask)
    order: Ints = positions[np.argsort(-values[positions], kind="stable")]
    return order


def _misplaced(scores: Floats | Doubles, labels: Bools) -> Doubles:
    """Return (N,) the number of absent classes that score above the best class that is present."""
    best = np.where(labels, scores, -np.inf).max(1)
    misplaced: Doubles = ((scores > best[:, None]) & ~labels).sum(1).astype(np.float64)
    return misplaced


def _table(pair: ExamplePair, right: tuple[Bools, Bools]) -> PageTable:
    counts = np.array([mask.sum() for mask in agreement_masks(*right)])
    head = ["", pair.nouns, "both right", "only A", "only B", "both wrong"]
    return PageTable(f"{counts.sum()} {pair.nouns}", head, [("total", count_cells(counts))])


def _check(same: bool) -> None:
    if not same:
        raise NotApplicableError("the test images are not the same.")
