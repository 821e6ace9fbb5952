"""Every entry of tasks/datasets.yaml is complete and consistent; and the lists of class names."""

import importlib.resources
import io
import itertools
import json
import re
from pathlib import Path

import pytest

from bob.catalogue.dataset_facts import data_source
from bob.catalogue.datasets import dataset_page
from bob.datasets.class_names import class_list, to_class_names
from bob.datasets.listing import ImageListing
from bob.datasets.open import open_dataset
from bob.datasets.readers.real import real_labels
from bob.errors import ConfigError, DatasetError
from bob.io.paths import CHECKOUT
from bob.metrics import METRICS
from bob.registry import dataset_labels, load_registry, select
from bob.specs import (
    METRICS_BY_KIND,
    UNSCORED_METRICS,
    DatasetSpec,
    FolderSource,
    RealSource,
    RepositorySource,
    SampleSource,
    WebDatasetSource,
)
from tests.builders.images import make_class_folders, png

ENTRIES = load_registry().datasets
PUBLISHED = {
    name: spec for name, spec in ENTRIES.items() if not isinstance(spec.source, SampleSource)
}
GROUPS = {
    "vtab",
    "class-incremental",
    "fine-grained",
    "imagenet",
    "shift",
    "retrieval",
    "medical",
    "remote-sensing",
    "multi-label",
    "image-text",
    "correspondence",
    "depth",
    "object-detection",
    "object-discovery",
    "video",
    "segmentation",
    "anomaly",
    "fairness",
    "triplets",
}
UNQUOTED = {
    "stanford_dogs",
    "inat2017",
    "cifar10_c",
    "chexpert",
    "crc100k",
    "mhist",
    "bach",
    "ucmerced",
    "patternnet",
}
"""Datasets for which no public source states which metric is quoted."""
FAMILIES = {"pacs", "officehome", "domainnet", "terra-incognita", "mvtec", "visa"}
"""Groups of entries that hold out one domain each, or have one category each."""

# images of (train, val, test, query, gallery) as counted by the datasets' papers, READMEs or
# code; 0 means that there is no such split
COUNTED = {
    "cifar10": (50000, 0, 10000, 0, 0),
    "mnist": (60000, 0, 10000, 0, 0),
    "svhn": (73257, 0, 26032, 0, 0),
    "flowers102": (1020, 1020, 6149, 0, 0),
    "food101": (75750, 0, 25250, 0, 0),
    "stanford_cars": (8144, 0, 8041, 0, 0),
    "imagenet1k": (1281167, 0, 50000, 0, 0),
    "imagenet_sketch": (0, 0, 50889, 0, 0),
    "nabirds": (23929, 0, 24633, 0, 0),
    "camelyon17_wilds": (302436, 0, 85054, 0, 0),
    "pathmnist": (89996, 10004, 7180, 0, 0),
    "roxford5k": (0, 0, 0, 70, 4993),
    "instre": (0, 0, 0, 1250, 27293),
    "ade20k": (20210, 0, 2000, 0, 0),
    "voc2012_segmentation": (1464, 0, 1449, 0, 0),
    "cityscapes": (2975, 0, 500, 0, 0),
    "nyu_depth_v2": (24231, 0, 654, 0, 0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_entry_is_complete_and_consistent(name: str) -> None:
    spec = PUBLISHED[name]
    assert (
        spec.summary.endswith(".")
        and spec.evaluation
        and spec.evaluation.endswith(".")
        and spec.metric in (None, *METRICS_BY_KIND[spec.kind])
    )
    assert (
        spec.groups
        and set(spec.groups) <= GROUPS | FAMILIES
        and len(set(spec.groups)) == len(spec.groups)
    )
    assert ("multi-label" in spec.groups) == (spec.kind == "multi-label") and (
        "image-text" in spec.groups
    ) == (spec.kind == "image-text")
    assert spec.kind != "retrieval" or "retrieval" in spec.groups
    assert all(caveat.endswith(".") for caveat in spec.caveats) and spec.paper
    assert spec.licence != ""
    assert spec.metric or name in UNQUOTED
    assert spec.metric is None or (spec.metric in METRICS) != (spec.metric in UNSCORED_METRICS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_data_has_a_location(name: str) -> None:
    """A hub repository with a commit or its prefix; or a folder in $BOB_DATA with instructions."""
    spec, source = PUBLISHED[name], PUBLISHED[name].source
    if isinstance(source, RepositorySource) and source.hub:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", source.hub) and spec.obtain is None
        assert source.revision is None or re.fullmatch("[0-9a-f]{40}", source.revision)
    else:
        assert (
            str(source.path).startswith("$BOB_DATA/") and spec.obtain and spec.obtain.endswith(".")
        )  # type: ignore[union-attr]
        assert "$BOB_DATA" in spec.obtain


def test_download_sizes_state_their_source() -> None:
    """Sizes of data below $BOB_DATA are of the files; entries that fetch the same files agree."""
    for spec in PUBLISHED.values():
        if spec.download:
            on_hub = isinstance(spec.source, RepositorySource) and spec.source.hub
            assert spec.download.source.strip() and (spec.download.of == "files" or on_hub)
    sizes: dict[str, set[object]] = {}
    for spec in PUBLISHED.values():
        sizes.setdefault(data_source(spec), set()).add(spec.download)
    differing = {where for where, downloads in sizes.items() if len(downloads) > 1}
    assert differing <= {"$BOB_DATA/inat2021"}, "its two train splits are two archives"
    assert sum(spec.download is not None for spec in PUBLISHED.values()) >= 79


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_refer_to_existing_splits(name: str) -> None:
    spec = PUBLISHED[name]
    roles = set(
        getattr(spec.source, "data_files", None)
        or getattr(spec.source, "splits", None)
        or spec.counts
    )
    if spec.source.reader != "table":
        assert set(spec.counts) <= roles
    assert not (spec.images and spec.counts), "declared in total or by split, not both"
    if isinstance(spec.class_names, tuple):
        assert len(set(spec.class_names)) == len(spec.class_names) == spec.classes
    elif spec.class_names:
        assert spec.classes == len(class_list(spec.class_names))
    if spec.class_range:
        assert spec.classes == spec.class_range[1] - spec.class_range[0]


def names_of(spec: DatasetSpec) -> tuple[str, ...]:
    return (
        class_list(spec.class_names)
        if isinstance(spec.class_names, str)
        else spec.class_names or ()
    )


@pytest.mark.parametrize("name", [name for name, spec in ENTRIES.items() if spec.shifts])
def test_shifts_refer_to_entries_and_splits_that_exist(name: str) -> None:
    for shift in ENTRIES[name].shifts.values():
        other = ENTRIES[shift.dataset or name]
        assert other.counts.get(shift.split, 1) and (
            shift.split in other.counts or other.kind == "classification"
        )
        assert shift.kind == "shift" or shift.dataset != name
        if shift.kind == "shift" and ENTRIES[name].class_names and other.class_names:
            assert set(names_of(other)) <= set(names_of(ENTRIES[name])), "classes match by name"


@pytest.mark.parametrize("name", COUNTED)
def test_counts_equal_published_ones(name: str) -> None:
    assert (
        tuple(
            ENTRIES[name].counts.get(role, 0)
            for role in ("train", "val", "test", "query", "gallery")
        )
        == COUNTED[name]
    )  # type: ignore[call-overload]


def test_every_domain_of_a_family_is_held_out_once() -> None:
    for family, n, images in (
        ("pacs", 4, 9991),
        ("officehome", 4, 15588),
        ("domainnet", 6, 586575),
        ("terra-incognita", 4, None),
    ):
        members = [spec for spec in ENTRIES.values() if family in spec.groups]
        left_out = [
            value for spec in members for values in spec.leave_out.values() for value in values
        ]
        assert len(members) == len(set(left_out)) == n and {spec.images for spec in members} == {
            images
        }
        assert len({spec.source.model_dump_json() for spec in members}) == 1


def test_pretraining_data_is_declared_under_every_name() -> None:
    """A dataset that shares its images with pretraining data is contaminated as well."""
    seen = [
        set(spec.pretraining.seen)
        for spec in load_registry().backbones.values()
        if spec.pretraining
    ]
    for name, alias in (("imagenet1k", "imagenet1k_shifts"), ("inat2021", "inat2021_mini")):
        assert sum(name in names for names in seen) == sum(alias in names for names in seen) > 0
    assert not any("imagenet_v2" in names for names in seen)


def test_groups_are_selected_by_name() -> None:
    chosen = select("group:vtab", ENTRIES, "dataset", dataset_labels)
    assert {"cifar100", "pets", "dmlab", "smallnorb_azimuth"} <= {
        one.spec.name for one in chosen
    } and len(chosen) >= 19
    for group in GROUPS:
        assert select(f"group:{group}", ENTRIES, "dataset", dataset_labels)


def test_imagenet_o_is_for_detection_only() -> None:
    assert ENTRIES["imagenet_o"].kind == "detection"
    kinds = {
        shift.kind
        for spec in ENTRIES.values()
        for shift in spec.shifts.values()
        if shift.dataset == "imagenet_o"
    }
    assert kinds == {"near"}


def test_tars_are_listed_by_name() -> None:
    sources = [
        spec.source for spec in ENTRIES.values() if isinstance(spec.source, WebDatasetSource)
    ]
    assert sources and all(
        str(pattern).endswith(".tar")
        for source in sources
        for pattern in source.data_files.values()
    )


# --- lists of classes


def timm_file(name: str) -> list[str]:
    return (importlib.resources.files("timm.data") / "_info" / name).read_text().split()


@pytest.mark.parametrize("letter", ["a", "r"])
def test_class_masks_equal_those_of_timm(letter: str) -> None:
    """Matched by name, the classes of ImageNet-A and -R have timm's indices, in timm's order."""
    thousand = class_list("imagenet_1k")
    assert list(thousand) == timm_file("imagenet_synsets.txt")
    places = [thousand.index(name) for name in class_list(f"imagenet_{letter}")]
    assert places == [int(place) for place in timm_file(f"imagenet_{letter}_indices.txt")]


def test_the_classes_of_ade20k_are_those_of_the_benchmark() -> None:
    """The first and last of the 150, and some between, by their index in the benchmark's table."""
    names = class_list("ade20k")
    places = {1: "wall", 13: "person", 20: "chair", 21: "car", 61: "river", 150: "flag"}
    assert len(set(names)) == len(names) == 150
    assert {place: names[place - 1] for place in places} == places


def test_class_masks_have_known_sizes_and_overlaps() -> None:
    """200 classes each; A and R share 86, A and O 59, R and O 36 (counted by the official code)."""
    masks = {letter: set(class_list(f"imagenet_{letter}")) for letter in "aro"}
    assert {len(mask) for mask in masks.values()} == {200}
    assert [len(masks[x] & masks[y]) for x, y in itertools.combinations("aro", 2)] == [86, 59, 36]


def test_unknown_list_and_invalid_label_are_reported() -> None:
    with pytest.raises(
        ConfigError, match="unknown list of class names 'imagenet_1K'; did you mean 'imagenet_1k'"
    ):
        class_list("imagenet_1K")
    listing = ImageListing("here", ["1"], ["x"], lambda i: b"", ["test"])
    assert to_class_names(["1", "0", "b"], ["a", "b"], listing) == ["b", "a", "b"]
    for label in ("2", "c", "-1"):
        with pytest.raises(
            DatasetError,
            match=f"here: label '{label}' is neither one of the 2 class names nor an index "
            f"from 0 to 1",
        ):
            to_class_names([label], ["a", "b"], listing)


def test_real_labels_equal_those_of_timm() -> None:
    """timm's own class returns the same label sets for the same file names."""
    from timm.data import RealLabelsImagenet

    names = [f"ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 50_001)]
    reference = RealLabelsImagenet(
        names, (importlib.resources.files("timm.data") / "_info" / "imagenet_real_labels.json")
    )  # type: ignore[no-untyped-call]
    assert [reference.real_labels[name] for name in names] == real_labels()
    assert (
        sum(bool(labels) for labels in real_labels())
        == 46_837
        == ENTRIES["imagenet_real"].counts["test"]
    )


def test_real_excludes_images_without_labels(tmp_path: Path) -> None:
    """Of the first validation images with 0, 1 and 2 labels, the one without labels is excluded."""
    labels = real_labels()
    wanted = [
        next(n for n, several in enumerate(labels) if len(several) == count) for count in (0, 1, 2)
    ]
    for n in wanted:
        (tmp_path / "val" / str(n)).mkdir(parents=True)
        (tmp_path / "val" / str(n) / f"ILSVRC2012_val_{n + 1:08d}.JPEG").write_bytes(png(n))
    spec = DatasetSpec(
        name="real",
        source=RealSource(reader="imagenet_real", path=str(tmp_path / "val")),
        kind="multi-label",
    )
    dataset = open_dataset(spec, tmp_path / "cache")
    test, thousand = dataset.splits["test"], class_list("imagenet_1k")
    assert list(test.ids) == [f"ILSVRC2012_val_{n + 1:08d}.JPEG" for n in sorted(wanted[1:])]
    assert test.labels is not None
    for i, n in enumerate(sorted(wanted[1:])):
        assert {
            name for name, shown in zip(dataset.classes, test.labels[i], strict=True) if shown
        } == {thousand[c] for c in labels[n]}
    assert "excluded images without a label: 1" in dataset.notes
    make_class_folders(tmp_path / "none", a=1)
    with pytest.raises(
        DatasetError, match=r"no ILSVRC2012_val_00000001\.JPEG or similar\. Give the folder"
    ):
        open_dataset(
            spec.model_copy(
                update={"source": RealSource(reader="imagenet_real", path=str(tmp_path / "none"))}
            ),
            tmp_path / "cache",
        )


# --- folders whose names are labels


def test_numbered_class_folders_are_ordered_by_number(tmp_path: Path) -> None:
    """ImageNet-V2's layout: in text order, 10 would precede 2 and all later labels be wrong."""
    make_class_folders(tmp_path / "v2", **{str(c): 1 for c in range(1000)})
    source = FolderSource(reader="folder", path=str(tmp_path / "v2"), splits={"test": "."})
    plain = open_dataset(DatasetSpec(name="v2", source=source), tmp_path / "cache")
    assert plain.classes == tuple(str(c) for c in range(1000))
    renamed = open_dataset(
        DatasetSpec(name="v2", source=source, class_names="imagenet_1k"), tmp_path / "cache"
    )
    assert renamed.classes == class_list("imagenet_1k")
    assert [int(name.split("/")[0]) for name in renamed.splits["test"].ids] == renamed.splits[
        "test"
    ].y.tolist()


def test_wordnet_class_folders_are_ordered_by_the_class_list(
    tmp_path: Path,
) -> None:
    names = class_list("imagenet_1k")
    make_class_folders(tmp_path / "val", **dict.fromkeys(reversed(names), 1))
    source = FolderSource(reader="folder", path=str(tmp_path / "val"), splits={"test": "."})
    dataset = open_dataset(
        DatasetSpec(name="val", source=source, class_names="imagenet_1k"), tmp_path / "cache"
    )
    assert dataset.classes == names
    assert [name.split("/")[0] for name in dataset.splits["test"].ids] == [
        names[c] for c in dataset.splits["test"].y
    ]


def test_folders_between_split_and_class_are_attributes(tmp_path: Path) -> None:
    """ImageNet-C's layout."""
    for corruption in ("fog", "snow"):
        for severity in (1, 2):
            make_class_folders(
                tmp_path / "c" / "weather" / corruption / str(severity), n01=1, n02=2
            )
    source = FolderSource(
        reader="folder",
        path=str(tmp_path / "c"),
        splits={"test": "weather"},
        levels=("corruption", "severity"),
    )
    test = open_dataset(DatasetSpec(name="c", source=source), tmp_path / "cache").splits["test"]
    assert (
        test.attributes["corruption"] == ("fog",) * 6 + ("snow",) * 6
        and test.attributes["severity"] == ("1", "1", "1", "2", "2", "2") * 2
    )
    wrong = FolderSource(reader="folder", path=str(tmp_path / "c"), splits={"test": "whether"})
    with pytest.raises(
        DatasetError, match=r"no folder 'whether' inside; did you mean 'weather'\? Folders: weather"
    ):
        open_dataset(DatasetSpec(name="c", source=wrong), tmp_path / "cache")


def test_dataset_table_is_up_to_date() -> None:
    """`bob-bench datasets page > docs/reference/dataset_table.md`"""
    assert (CHECKOUT / "docs" / "reference" / "dataset_table.md").read_text(
        encoding="utf-8"
    ) == dataset_page(ENTRIES)


def test_dataset_table_contains_every_entry() -> None:
    shown = io.StringIO(dataset_page(ENTRIES)).read()
    for name, spec in ENTRIES.items():
        assert f"### {name}\n" in shown and spec.summary in shown.replace("\\|", "|")
        assert all(caveat in shown for caveat in spec.caveats)
    assert json.dumps(sorted(ENTRIES)) == json.dumps(
        sorted(re.findall(r"^### (\S+)$", shown, flags=re.MULTILINE))
    )
