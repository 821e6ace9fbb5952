"""Retrieval: which images ask, which are asked, and what says that they belong together."""

import numpy as np

from bob.datasets.dataset import Dataset, Split, SplitName
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.protocols.protocol import Result
from bob.protocols.relevance import Codes, Labelled, Relevance, codes, judged
from bob.protocols.retrieval import Search, retrieval
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.settings import RetrievalSettings
from bob.wiring.wired import FeaturesOf, Need, Needs, Wired, require_splits


def retrieval_needs(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> list[Need]:
    """The images that ask, those that are asked, and train where whitening is learned on it."""
    settings = _settings(task)
    asking, asked = sides(task, dataset)
    names: list[SplitName] = (
        [asking, asked, "train"] if settings.whiten is not None else [asking, asked]
    )
    require_splits(task, dataset, *names)
    if dataset.judgements is None:
        _check_labels(task, dataset, asking, asked)
    return [Need(backbone, name, dataset.splits[name]) for name in dict.fromkeys(names)]


def sides(task: TaskSpec, dataset: Dataset) -> tuple[SplitName, SplitName]:
    """The names of the splits that ask and that are asked; the same one for leave-one-out."""
    if "query" in dataset.splits:
        return "query", "gallery"
    return "test", _settings(task).gallery


def solve_retrieval(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    """The protocol's answer; images that could not be read neither ask nor are asked."""
    settings, rows = _settings(task), {need.name: features_of(need) for need in needs}
    asking, asked = sides(task, dataset)
    relevances = _relevances(settings, dataset, rows, asking, asked)
    train = rows["train"].rows if settings.whiten is not None else None
    return retrieval(
        Search(rows[asking].rows, rows[asked].rows, relevances, train), settings, device
    )


def _relevances(
    settings: RetrievalSettings,
    dataset: Dataset,
    rows: dict[str, Features],
    asking: SplitName,
    asked: SplitName,
) -> dict[str, Relevance]:
    if dataset.judgements is not None:
        return judged(_readable(dataset, rows[asking], rows[asked]), len(rows[asked].rows))
    queries, gallery = (dataset.splits[name].take(rows[name].positions) for name in (asking, asked))
    image = codes(queries.content, gallery.content)
    group = (
        codes(queries.groups, gallery.groups)
        if settings.exclude_groups and queries.groups and gallery.groups
        else None
    )
    return {"": Labelled(_labels(settings.label, queries, gallery), image, group)}


def _readable(dataset: Dataset, queries: Features, gallery: Features) -> dict[str, list[list[int]]]:
    """The judgements, by rows of the images that could be read."""
    place = {int(position): row for row, position in enumerate(gallery.positions)}
    return {
        level: [
            [place[item] for item in lists[query] if item in place]
            for query in queries.positions.tolist()
        ]
        for level, lists in (dataset.judgements or {}).items()
    }


def _labels(label: str, queries: Split, gallery: Split) -> Codes:
    return (
        (queries.y, gallery.y)
        if label == "class"
        else codes(_named(label, queries) or (), _named(label, gallery) or ())
    )


def _named(label: str, split: Split) -> list[str] | None:
    """What the label calls each image, an image without one by a name of its own; None where the split does not have the label."""
    found = split.groups if label == "group" else split.attributes.get(label)
    return (
        None
        if found is None
        else [name or f"\0{image}" for name, image in zip(found, split.ids, strict=True)]
    )


def _check_labels(task: TaskSpec, dataset: Dataset, asking: SplitName, asked: SplitName) -> None:
    label = _settings(task).label
    queries, gallery = (dataset.splits[name] for name in (asking, asked))
    if label == "class" and queries.labels is not None:
        raise NotApplicableError(
            f"task {task.name!r} needs one label per image; those of dataset {dataset.name!r} have several."
        )
    if label != "class" and (_named(label, queries) is None or _named(label, gallery) is None):
        raise NotApplicableError(
            f"task {task.name!r} looks for images of the same {label}; dataset {dataset.name!r} does not tell it."
        )
    asked_for = Labelled(_labels(label, queries, gallery), codes(queries.content, gallery.content))
    if not any(asked_for.of(np.array([row]))[0].any() for row in range(len(queries))):
        raise NotApplicableError(
            f"task {task.name!r}: no two images of dataset {dataset.name!r} have the same {label}, so that nothing can be found."
        )


def _settings(task: TaskSpec) -> RetrievalSettings:
    assert isinstance(task.settings, RetrievalSettings)
    return task.settings


RETRIEVAL = Wired(retrieval_needs, solve_retrieval, draws=lambda task, dataset: False)
