"""Every entry of `backbones.yaml` agrees with its library.

Ids exist, architectures build, and declared sizes are the measured ones.
"""

import re
from functools import cache

import pytest

from bob.backbones.loaders.load import outline
from bob.backbones.weights.identity import id_problems
from bob.catalogue.backbones import backbone_page
from bob.commands.doctor import BUILT_WITHOUT_WEIGHTS, measure_architecture
from bob.io.paths import CHECKOUT
from bob.registry import load_backbones, load_registry
from bob.specs import BackboneSpec
from bob.specs.output import TOWER_POOLS

ENTRIES = load_backbones()
LEARNED = {name: spec for name, spec in ENTRIES.items() if spec.family != "baseline"}
BUILDABLE = [name for name, spec in ENTRIES.items() if spec.loader in BUILT_WITHOUT_WEIGHTS]
FREE = "(?i)Apache|MIT|BSD|CC-|non-commercial|DINOv3|SEER|Apple"


def shape_spec(spec: BackboneSpec) -> BackboneSpec:
    """Return a spec with only what the architecture's shapes depend on.

    Entries that agree in these fields are built once.
    """
    architecture = spec.architecture.split(".")[0] if spec.loader == "timm" else spec.architecture
    fields = {
        "name": "any",
        "family": "ssl",
        "loader": spec.loader,
        "options": spec.options,
        "output": spec.output,
    }
    size = {
        "input_px": spec.input_px,
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "crop_pct": 1.0,
        "crop_mode": "center",
        "interpolation": "bicubic",
    }
    preprocessing = size if spec.loader in ("timm", "checkpoint", "transformers") else {}
    return BackboneSpec(
        **fields,
        architecture=architecture,
        weights=spec.weights if spec.loader == "baseline" else None,
        preprocessing=preprocessing,
    )


@cache
def measured_once(spec: BackboneSpec) -> tuple[int, int, int]:
    return measure_architecture(spec)


def test_at_least_seventy_backbones_and_four_per_family():
    families = {
        family: [name for name, spec in ENTRIES.items() if spec.family == family]
        for family in ("supervised", "ssl", "clip", "domain", "baseline")
    }
    assert len(ENTRIES) >= 70 and all(len(names) >= 4 for names in families.values())


@pytest.mark.parametrize("name", ENTRIES)
def test_ids_are_in_the_list_of_the_library(name):
    assert id_problems(ENTRIES[name]) == []


@pytest.mark.parametrize("name", BUILDABLE)
def test_an_architecture_builds_as_declared(name):
    spec = ENTRIES[name]
    assert measured_once(shape_spec(spec)) == (spec.input_px, spec.width, spec.params)


@pytest.mark.parametrize("name", [name for name, spec in ENTRIES.items() if spec.loader == "timm"])
def test_timm_preprocessing_is_used_except_for_declared_overrides(name):
    from timm.data import resolve_data_config
    from timm.models import get_pretrained_cfg

    from bob.backbones.loaders.timm import preprocessing

    spec = ENTRIES[name]
    config = resolve_data_config({}, pretrained_cfg=get_pretrained_cfg(spec.architecture).to_dict())
    geometry, normalisation = preprocessing(spec, get_pretrained_cfg(spec.architecture).to_dict())
    overrides = {
        key: value for key, value in spec.preprocessing.model_dump().items() if value is not None
    }
    expected = {
        "input_px": config["input_size"][1],
        **{key: config[key] for key in ("crop_pct", "crop_mode", "interpolation", "mean", "std")},
    } | overrides
    assert geometry.facts() | normalisation.facts() == expected | {
        "mean": list(expected["mean"]),
        "std": list(expected["std"]),
    }
    assert spec.input_px == geometry.height_px


@pytest.mark.parametrize(
    "name", [name for name, spec in ENTRIES.items() if spec.loader == "open_clip"]
)
def test_open_clip_preprocessing_is_used(name):
    import open_clip

    spec = ENTRIES[name]
    config = (
        open_clip.get_pretrained_cfg(spec.architecture, spec.weights.tag)
        if spec.weights.tag
        else {}
    )
    loaded = outline(spec, offline=True)
    assert loaded.normalisation.mean == tuple(config.get("mean", open_clip.OPENAI_DATASET_MEAN))
    assert loaded.geometry.crop_mode == {"squash": "squash"}.get(
        config.get("resize_mode"), "center"
    )
    assert (
        loaded.geometry.interpolation == config.get("interpolation", "bicubic")
        and loaded.geometry.crop_pct == 1.0
    )
    assert str(spec.output) in TOWER_POOLS


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
    assert spec.paper or spec.summary, "an entry without a paper needs a summary"
    assert spec.licence and re.search(FREE, spec.licence)


def test_backbones_pretrained_on_imagenet_declare_it_as_seen():
    for name, spec in LEARNED.items():
        assert ("ImageNet" in spec.pretraining.data) <= ("imagenet1k" in spec.pretraining.seen), (
            name
        )


def test_seen_datasets_are_registered():
    datasets = load_registry().datasets
    for name, spec in LEARNED.items():
        assert set(spec.pretraining.seen) <= set(datasets), name


def test_every_entry_has_weights_of_its_own():
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


def test_names_are_lower_case_words_of_architecture_and_training():
    for name in LEARNED:
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", name), name
        assert "." not in name and len(name) <= 36


def test_the_table_in_the_docs_is_up_to_date():
    """`python -m bob.catalogue.backbones > docs/reference/backbones.md` regenerates it."""
    assert (CHECKOUT / "docs" / "reference" / "backbones.md").read_text() == backbone_page(
        ENTRIES.values()
    )
