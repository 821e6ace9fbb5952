"""Images of a classifier's record: confusion, mistakes, their nearest train images, outliers."""

from collections.abc import Sequence

import numpy as np

from bob.datasets.dataset import Split
from bob.features.store import Features
from bob.numerics.arrays import Ints
from bob.outcomes import ClassPredictions
from bob.pictures.page import PageSection, PageTable, Picture, Strip, TableCell
from bob.pictures.pick import confident_mistakes, confusion, most_confused, nearest, outliers
from bob.pictures.view import (
    NO_FEATURES,
    Sections,
    View,
    picture,
    prediction,
    scored_positions,
)
from bob.statistics.limits import wilson

MISTAKES = 48
"""Wrong predictions on the page."""
QUERIES = 12
"""Mistakes whose neighbours are shown."""
NEIGHBOURS = 6
OUTLIERS = 24
OUTLIER_NEIGHBOUR = 5
"""The neighbour whose similarity says how far an image lies from train."""
MOST_PAIRS = 2_000_000_000
"""Most pairs of a test and a train image that are compared to find outliers: half a minute."""
CLASSES = 30
"""Most classes of a confusion matrix; of more, those most often confused are shown."""


def classifier_sections(outcome: ClassPredictions, view: View) -> Sections:
    """Yield the confusion matrix, and images of test as far as they are available."""
    yield PageSection(
        "Confusion",
        "Rows are true classes, columns are predicted ones. Recall is the share of a class that is "
        "predicted as it, with its 95 % interval (Wilson).",
        table=confusion_table(confusion(outcome), view),
    )
    test = view.split("test")
    if test is None:
        return
    positions = scored_positions(len(outcome), view, test)
    if positions is None:
        return
    wrong = confident_mistakes(outcome, MISTAKES)
    if not len(wrong):
        view.note("no mistakes are shown: every prediction is correct.")
    else:
        yield _mistakes(outcome, wrong, positions, test, view)
    train = view.split("train")
    queries, gallery = view.features(test), view.features(train) if train else None
    if train is None or queries is None or gallery is None or not len(gallery):
        view.note(f"no nearest train images and no outliers: {NO_FEATURES}")
        return
    if len(wrong):
        yield _neighbours(positions[wrong[:QUERIES]], test, queries, train, gallery, view)
    if len(queries) * len(gallery) <= MOST_PAIRS:
        yield _outliers(outcome, positions, test, queries, gallery, view)
    else:
        view.note("no outliers: too many pairs of test and train images to compare.")


def confusion_table(counts: Ints, view: View) -> PageTable:
    """Return counts (C, C) with totals and recalls; classes that are not shown are summed up."""
    shown = most_confused(counts, CLASSES)
    hidden = np.setdiff1d(np.arange(len(counts)), shown)
    names = [view.class_name(int(c)) for c in shown]
    member = np.zeros((len(counts), len(shown)), np.int64)
    member[shown, np.arange(len(shown))] = 1
    if len(hidden):
        names.append(f"{len(hidden)} others")
        member = np.column_stack([member, np.isin(np.arange(len(counts)), hidden)])
    table = member.T @ counts @ member
    right, totals = member.T @ np.diag(counts), table.sum(1)
    rows = []
    for i, name in enumerate(names):
        total = int(totals[i])
        is_class = i < len(shown)
        cells = [
            _count(int(count), total if is_class else 0, right=i == j)
            for j, count in enumerate(table[i])
        ]
        recall = TableCell(recall_text(int(right[i]), total))
        rows.append((name, [*cells, TableCell(str(total)), recall]))
    sums = [TableCell(str(int(count))) for count in (*table.sum(0), totals.sum())]
    recall = TableCell(recall_text(int(right.sum()), int(totals.sum())))
    rows.append(("total", [*sums, recall]))
    caption = f"{totals.sum()} test images of {len(counts)} classes"
    if len(hidden):
        caption += f"; of the classes, the {len(shown)} that are confused most often"
    return PageTable(caption, ["true class", *names, "total", "recall"], rows)


def _count(count: int, total: int, right: bool) -> TableCell:
    """Return a count, coloured by its share of a total; without colour for a total of 0."""
    return TableCell(str(count) if count else "", count / total if total else None, right)


def recall_text(right: int, total: int) -> str:
    """Return a share in percent with its interval, such as `80.0 % [49.0–94.3]`."""
    if not total:
        return "–"
    low, high = (100 * float(limit) for limit in wilson(float(right), float(total)))
    return f"{100 * right / total:.1f} % [{low:.1f}–{high:.1f}]"


def _mistakes(
    outcome: ClassPredictions, wrong: Ints, positions: Ints, test: Split, view: View
) -> PageSection:
    pictures = [
        picture(
            test,
            positions[i],
            f"is {view.class_name(int(outcome.y[i]))}",
            f"predicted {prediction(outcome, i, view)}",
            right=False,
        )
        for i in wrong
    ]
    total = int((outcome.rank > 0).sum())
    order = "the most confident first" if outcome.confidence is not None else "the worst first"
    return PageSection(
        "Mistakes",
        f"{len(wrong)} of {total} wrong predictions, {order}. A confident mistake is often a wrong "
        "label, or shows two classes that overlap.",
        [Strip("", pictures)],
    )


def _neighbours(
    positions: Ints, test: Split, queries: Features, train: Split, gallery: Features, view: View
) -> PageSection:
    """Return the train images with the highest cosine to the test images at these positions."""
    row_of = {int(position): row for row, position in enumerate(queries.positions)}
    rows = [row_of[int(position)] for position in positions]
    index, similarity = nearest(queries.rows[rows], gallery.rows, NEIGHBOURS)
    strips = []
    for position, items, cosines in zip(positions.tolist(), index, similarity, strict=True):
        label = int(test.y[position])
        pictures: list[Picture] = [picture(test, position, f"is {view.class_name(label)}")]
        for item, cosine in zip(items, cosines, strict=True):
            other = int(gallery.positions[item])
            lines = (view.class_name(int(train.y[other])), f"cosine {cosine:.3f}")
            pictures.append(picture(train, other, *lines, right=int(train.y[other]) == label))
        strips.append(Strip("", pictures, leads=True))
    return PageSection(
        "Nearest train images of mistakes",
        f"The first mistakes, and the {NEIGHBOURS} train images whose features are most similar. "
        "A solid frame has the true class, a dashed one another.",
        strips,
    )


def _outliers(
    outcome: ClassPredictions,
    positions: Ints,
    test: Split,
    queries: Features,
    gallery: Features,
    view: View,
) -> PageSection:
    """Return the test images that are least similar to train images."""
    _, similarity = nearest(queries.rows, gallery.rows, OUTLIER_NEIGHBOUR)
    example_of = {int(position): i for i, position in enumerate(positions)}
    pictures = []
    for row in outliers(similarity, OUTLIERS):
        position = int(queries.positions[row])
        lines = [f"cosine {similarity[row, -1]:.3f}"]
        right = None
        if (i := example_of.get(position)) is not None:
            right = bool(outcome.rank[i] == 0)
            lines += _verdict(outcome, i, view)
        pictures.append(picture(test, position, *lines, right=right))
    return PageSection(
        "Outliers",
        "The test images least like any train image, by the cosine to their nearest one but "
        f"{similarity.shape[1] - 1}. A solid frame is predicted correctly, a dashed one is not.",
        [Strip("", pictures)],
    )


def _verdict(outcome: ClassPredictions, i: int, view: View) -> Sequence[str]:
    """Return the true class, and the prediction where it is wrong."""
    lines = [f"is {view.class_name(int(outcome.y[i]))}"]
    if outcome.rank[i] > 0:
        lines.append(f"predicted {prediction(outcome, i, view)}")
    return lines
