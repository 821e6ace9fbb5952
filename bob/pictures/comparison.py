"""Images on which two classifiers differ: only one of them right, or both wrong, by class."""

from collections.abc import Sequence

import numpy as np

from bob.datasets.dataset import Split
from bob.numerics.arrays import Ints
from bob.outcomes import ClassPredictions
from bob.pictures.page import PageSection, PageTable, Picture, Strip, TableCell
from bob.pictures.pick import Agreement, agreement, most_wrong, spread_over_classes
from bob.pictures.view import Sections, View, picture, prediction, scored_positions

PICTURES = 60
"""Most images of a section; each class gives some of them."""
CLASSES = 200
"""Most classes in the table; of more, those with the most differences are shown."""
Pair = tuple[ClassPredictions, ClassPredictions]


def comparison_sections(a: str, b: str, outcomes: Pair, view: View) -> Sections:
    """Yield counts by class, and images, for the outcomes of backbones a and b.

    The outcomes must be of the same examples; `view` is that of the record of a.
    """
    first, second = outcomes
    agreed = agreement(first, second)
    yield PageSection(
        "Counts by class",
        f"A is {a}, B is {b}. Numbers of test images that both, one or none predict correctly.",
        table=_table(first, agreed, view),
    )
    test = view.split("test")
    positions = None if test is None else scored_positions(len(first), view, test)
    if test is None or positions is None:
        return
    for title, chosen, wrong in (
        ("Only A is right", agreed.only_a, second),
        ("Only B is right", agreed.only_b, first),
        ("Both are wrong", agreed.neither, first),
    ):
        if not len(chosen):
            view.note(f"no section {title!r}: there is no such image.")
            continue
        shown = spread_over_classes(first.y, most_wrong(wrong, chosen), PICTURES)
        count = f"All {len(chosen)}" if len(shown) == len(chosen) else f"{len(shown)} of"
        total = "" if len(shown) == len(chosen) else f" {len(chosen)}"
        about = (
            f"{count}{total} images, by class; of each class, the most confident mistakes first."
        )
        yield PageSection(title, about, _strips(shown, chosen, outcomes, positions, test, view))


def _strips(
    shown: Ints, chosen: Ints, outcomes: Pair, positions: Ints, test: Split, view: View
) -> Sequence[Strip]:
    """Return a strip of pictures for each class."""
    first, second = outcomes
    strips = []
    for label in np.unique(first.y[shown]).tolist():
        pictures: list[Picture] = [
            picture(
                test,
                positions[i],
                f"A: {prediction(first, i, view)}",
                f"B: {prediction(second, i, view)}",
            )
            for i in shown[first.y[shown] == label]
        ]
        total = int((first.y[chosen] == label).sum())
        of_class = int((first.y == label).sum())
        heading = f"{view.class_name(label)}: {total} of its {of_class} test images"
        strips.append(Strip(heading, pictures))
    return strips


def _table(outcome: ClassPredictions, agreed: Agreement, view: View) -> PageTable:
    """Return the counts of each class, and their totals."""
    counts = np.array([np.bincount(outcome.y[of], minlength=outcome.classes) for of in agreed])
    differing = counts[1] + counts[2]
    shown = np.sort(np.argsort(-differing, kind="stable")[:CLASSES])
    rows = [(view.class_name(int(c)), count_cells(counts[:, c])) for c in shown]
    rows.append(("total", count_cells(counts.sum(1))))
    caption = f"{len(outcome)} test images of {outcome.classes} classes"
    if len(shown) < outcome.classes:
        caption += f"; the {len(shown)} classes with the most differences are shown"
    head = ["true class", "test images", "both right", "only A", "only B", "both wrong"]
    return PageTable(caption, head, rows)


def count_cells(counts: Ints) -> list[TableCell]:
    """Return the sum of counts (4,) of `Agreement`, and each of them."""
    total = int(counts.sum())
    shares = [int(count) / total if total else None for count in counts]
    return [
        TableCell(str(total)),
        *(
            TableCell(str(int(count)), share, right=i == 0)
            for i, (count, share) in enumerate(zip(counts, shares, strict=True))
        ),
    ]
