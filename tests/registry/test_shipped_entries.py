"""Every entry of backbones.yaml against its library: the ids exist, the architecture builds, and what the entry declares is so."""

import re
from functools import cache

import pytest

from bob.backbones.loaders.load import outline
from bob.backbones.weights.identity import id_problems
from bob.catalogue.backbones import backbone_page
from bob.commands.doctor import BUILT_WITHOUT_WEIGHTS, measured
from bob.io.paths import CHECKOUT
from bob.registry.registry import load_backbones, load_registry
from bob.specs import BackboneSpec
from bob.specs.backbone import TOWER

ENTRIES = load_backbones()
LEARNED = {name: spec for name, spec in ENTRIES.items() if spec.family != "baseline"}
BUILDABLE = [name for name, spec in ENTRIES.items() if spec.loader in BUILT_WITHOUT_WEIGHTS]
FREE = "(?i)Apache|MIT|BSD|CC-|non-commercial|DINOv3|SEER|Apple"


def built_as(spec: BackboneSpec) -> BackboneSpec:
    """What the architecture's shapes depend on; entries that agree in it are built once."""
    bare = spec.architecture.split(".")[0] if spec.loader == "timm" else spec.architecture
    keep = {
        "name": "any",
        "family": "ssl",
        "loader": spec.loader,
        "options": spec.options,
        "pooling": spec.pooling,
    }
    size = {
        "input_px": spec.input_px,
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "crop_pct": 1.0,
        "crop_mode": "center",
        "interpolation": "bicubic",
    }
    resized = size if spec.loader in ("timm", "checkpoint", "transformers") else {}
    return BackboneSpec(
        **keep,
        architecture=bare,
        weights=spec.weights if spec.loader == "floor" else None,
        preprocessing=resized,
    )


@cache
def built(spec: BackboneSpec) -> tuple[int, int, int]:
    return measured(spec)


def test_there_are_at_least_seventy_in_every_family():
    families = {
        family: [name for name, spec in ENTRIES.items() if spec.family == family]
        for family in ("supervised", "ssl", "clip", "domain", "baseline")
    }
    assert len(ENTRIES) >= 70 and all(len(names) >= 4 for names in families.values())


@pytest.mark.parametrize("name", ENTRIES)
def test_ids_are_those_of_the_library_s_own_list(name):
    assert id_problems(ENTRIES[name]) == []


@pytest.mark.parametrize("name", BUILDABLE)
def test_an_architecture_builds_as_declared(name):
    spec = ENTRIES[name]
    assert built(built_as(spec)) == (spec.input_px, spec.width, spec.params)


@pytest.mark.parametrize("name", [name for name, spec in ENTRIES.items() if spec.loader == "timm"])
def test_timm_s_own_preprocessing_is_used_but_for_the_overrides(name):
    from timm.data import resolve_data_config
    from timm.models import get_pretrained_cfg

    from bob.backbones.loaders.timm import preprocessing

    spec = ENTRIES[name]
    theirs = resolve_data_config({}, pretrained_cfg=get_pretrained_cfg(spec.architecture).to_dict())
    geometry, normalisation = preprocessing(spec, get_pretrained_cfg(spec.architecture).to_dict())
    own = {
        key: value for key, value in spec.preprocessing.model_dump().items() if value is not None
    }
    told = {
        "input_px": theirs["input_size"][1],
        **{key: theirs[key] for key in ("crop_pct", "crop_mode", "interpolation", "mean", "std")},
    } | own
    assert geometry.facts() | normalisation.facts() == told | {
        "mean": list(told["mean"]),
        "std": list(told["std"]),
    }
    assert spec.input_px == geometry.height_px


@pytest.mark.parametrize(
    "name", [name for name, spec in ENTRIES.items() if spec.loader == "open_clip"]
)
def test_open_clip_s_own_preprocessing_is_used(name):
    import open_clip

    spec = ENTRIES[name]
    theirs = (
        open_clip.get_pretrained_cfg(spec.architecture, spec.weights.tag)
        if spec.weights.tag
        else {}
    )
    loaded = outline(spec, offline=True)
    assert loaded.normalisation.mean == tuple(theirs.get("mean", open_clip.OPENAI_DATASET_MEAN))
    assert loaded.geometry.crop_mode == {"squash": "squash"}.get(
        theirs.get("resize_mode"), "center"
    )
    assert (
        loaded.geometry.interpolation == theirs.get("interpolation", "bicubic")
        and loaded.geometry.crop_pct == 1.0
    )
    assert spec.pooling in TOWER


@pytest.mark.parametrize("name", LEARNED)
def test_required_fields_are_filled(name):
    spec = LEARNED[name]
    assert (
        spec.pretraining
        and spec.pretraining.method
        and spec.pretraining.data
        and spec.width
        and spec.params
        and spec.input_px
    )
    assert spec.paper is None or re.fullmatch(r"arXiv:\d{4}\.\d{5}|doi:10\.\S+", spec.paper)
    assert spec.paper or spec.summary, "without a paper, a sentence says what it is"
    assert spec.licence and re.search(FREE, spec.licence)


def test_a_backbone_that_saw_imagenet_says_so():
    for name, spec in LEARNED.items():
        assert ("ImageNet" in spec.pretraining.data) <= ("imagenet1k" in spec.pretraining.seen), (
            name
        )


def test_datasets_that_were_seen_are_datasets_of_ours():
    known = load_registry().datasets
    for name, spec in LEARNED.items():
        assert set(spec.pretraining.seen) <= set(known), name


def test_no_weights_have_two_names_and_no_name_two_weights():
    identities = [
        (
            w.hub,
            w.revision,
            w.url,
            w.package,
            w.file,
            w.random,
            spec.architecture if w.random is not None else None,
        )
        for spec in ENTRIES.values()
        if (w := spec.weights)
    ]
    assert len(set(identities)) == len(identities)


def test_names_say_architecture_and_training():
    for name in LEARNED:
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", name), name
        assert "." not in name and len(name) <= 36


def test_the_table_in_the_docs_is_fresh():
    """`python -m bob.catalogue.backbones > docs/backbones.md` writes it anew."""
    assert (CHECKOUT / "docs" / "backbones.md").read_text() == backbone_page(ENTRIES.values())
