"""Accuracy by groups of an attribute: which attributes count, and what is said of them."""

from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import DatasetError, NotApplicableError
from bob.metrics.groups import group_top1, worst_group_top1
from bob.outcomes import ClassPredictions, GroupResults
from bob.protocols.classification import ClassificationProblem
from bob.protocols.groups import PROTOCOL, GroupsProblem, GroupsSettings, group_attributes
from bob.protocols.linear import PROTOCOL as LINEAR
from bob.protocols.linear import LinearSettings
from bob.protocols.protocol import Result
from bob.registry import load_registry
from tests.builders.images import png
from tests.builders.protocols import BASELINE
from tests.builders.splits import digests, make_dataset, make_split

PROBE = {"log10_c": (-4.0, 4.0, 9), "held_out": 0.25, "tolerance": 1e-4}
SETTINGS = GroupsSettings(**PROBE, least_images=20)


def problem(spoiled: bool = True, seed: int = 0) -> GroupsProblem:
    """Return two classes, of which a lens of `wide` turns the features of class 1 into noise."""
    rng = np.random.default_rng(seed)
    y, test_y = np.arange(200) % 2, np.arange(200) % 2
    lens = np.where(np.arange(200) % 4 < 2, "wide", "tele")
    x, test_x = (rng.normal(size=(200, 6)) + 2 * np.eye(2, 6)[labels] for labels in (y, test_y))
    if spoiled:
        test_x[(lens == "wide") & (test_y == 1)] = rng.normal(size=(50, 6))
    data = ClassificationProblem(
        x.astype(np.float32), y, np.arange(200) % 5 == 0, test_x.astype(np.float32), test_y, 2
    )
    camera = ["rare" if i < 12 else "common" for i in range(200)]
    attributes = {"lens": lens.tolist(), "camera": camera}
    test = make_split(digests(200, "test"), test_y.tolist(), attributes=attributes)
    return GroupsProblem(data, test, ("lens", "camera"), ("cat", "dog"))


def parts_of(result: Result) -> dict[str, object]:
    return {part.suffix: part.outcome for part in result.parts}


def test_the_worst_group_is_found_and_the_average_is_the_probe_s() -> None:
    data = problem()
    result = PROTOCOL.solve(data, SETTINGS, "cpu")
    assert result.detail["attributes"]["lens"]["worst_group"] == ["wide", "dog"]
    assert result.detail["attributes"]["lens"]["worst_group_images"] == 50
    everything = parts_of(result)["all_images"]
    plain = LINEAR.solve(data.problem, LinearSettings(**PROBE), "cpu").outcome
    assert isinstance(everything, ClassPredictions)
    assert np.array_equal(everything.rank, plain.rank)
    assert isinstance(result.outcome, GroupResults)
    groups = [part for part in result.parts if "value" in part.facets]
    of_lens = {
        (part.facets["value"], part.facets["class"]): group_top1(part.outcome)
        for part in groups
        if part.facets["attribute"] == "lens"
    }
    assert len(of_lens) == 4
    assert worst_group_top1(result.outcome) == of_lens["wide", "dog"] == min(of_lens.values())
    detail = result.detail["attributes"]["lens"]
    assert detail["gap"] == pytest.approx(max(of_lens.values()) - of_lens["wide", "dog"])
    assert detail["gap"] > detail["gap_by_chance"]


def test_small_groups_are_listed_and_do_not_count() -> None:
    result = PROTOCOL.solve(problem(), SETTINGS, "cpu")
    assert result.detail["attributes"]["camera"]["small_groups"] == {
        "rare × cat": 6,
        "rare × dog": 6,
    }
    assert "2 groups have fewer than 20 test images by camera, and do not count" in result.caveats


def test_a_gap_that_chance_explains_is_a_caveat() -> None:
    """Of an attribute without effect, about one gap in twenty is above that of its shuffles."""
    explained = 0
    for seed in range(6):
        result = PROTOCOL.solve(problem(False, seed), SETTINGS, "cpu")
        explained += any("by lens is not above that of a shuffled" in c for c in result.caveats)
    assert explained >= 4
    spoiled = PROTOCOL.solve(problem(), SETTINGS, "cpu")
    assert not any("by lens" in text for text in spoiled.caveats)


def test_an_attribute_of_small_groups_is_undefined() -> None:
    settings = SETTINGS.model_copy(update={"least_images": 60})
    result = PROTOCOL.solve(problem(), settings, "cpu")
    assert result.parts[0].undefined == "fewer than two groups by lens have 60 test images"
    assert "worst_group" not in result.detail["attributes"]["lens"]


def dataset(**facts: object) -> Dataset:
    n = 48
    attributes = {
        "site": ["x", "y", "y"] * 16,
        "kind": ["p", "q"] * 24,
        "serial": [str(i) for i in range(n)],
        "same": ["z"] * n,
        "age": [str(i % 3) for i in range(n)],
    }
    splits = {
        name: make_split(digests(n, name), [0, 1] * 24, attributes=attributes)
        for name in ("train", "test")
    }
    return make_dataset(splits, **facts)


def test_attributes_with_few_values_that_vary_within_a_class_are_compared() -> None:
    assert group_attributes(dataset()) == ("site", "age")
    assert group_attributes(dataset(target="age")) == ("site",)
    assert group_attributes(dataset(group_by=("kind",))) == ("kind",)


def test_datasets_without_attributes_are_not_applicable() -> None:
    splits = {name: make_split("ab", [0, 1]) for name in ("train", "test")}
    with pytest.raises(NotApplicableError, match="needs an attribute with 2 to 20 values"):
        PROTOCOL.needs(SETTINGS, make_dataset(splits), BASELINE)


def test_columns_of_your_table_are_attributes(tmp_path: Path) -> None:
    lines = ["path,label,split,site"]
    for i in range(12):
        (tmp_path / f"{i}.png").write_bytes(png(i))
        lines.append(f"{i}.png,{'ab'[i % 2]},{'train' if i < 6 else 'test'},{'xyz'[i % 3]}")
    (tmp_path / "cells.csv").write_text("\n".join(lines) + "\n")
    spec = spec_from_data_flag(str(tmp_path / "cells.csv"))
    assert group_attributes(open_dataset(spec, tmp_path / "cache")) == ("site",)
    named = spec.model_copy(update={"group_by": ("sit",)})
    with pytest.raises(DatasetError, match="group_by names 'sit', which images of train do not"):
        open_dataset(named, tmp_path / "cache")


def test_elpv_is_compared_by_type_of_cell() -> None:
    assert load_registry().datasets["elpv"].group_by == ("cell_type",)
