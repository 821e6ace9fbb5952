"""Backbone entries: combinations of keys that are refused, implied keys, and variants."""

from typing import Any

import pytest

from bob.errors import ConfigError
from bob.specs import DEFAULT, EMBEDDING, BackboneSpec, Output, Preprocessing
from bob.specs.output import PRE_PROJECTION
from bob.specs.yaml import build, plain

VALUES = {
    "name": "mine",
    "family": "ssl",
    "loader": "timm",
    "architecture": "vit_small_patch16_224",
    "weights": {"random": 0},
}
PREPROCESSING = {
    "input_px": 8,
    "crop_pct": 1.0,
    "crop_mode": "center",
    "interpolation": "bilinear",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}
CLIP = {"loader": "open_clip", "architecture": "ViT-B-32", "weights": {"tag": "openai"}}
ONNX = {"loader": "onnx", "weights": {"file": "a.onnx"}, "preprocessing": PREPROCESSING}


def entry(**fields: Any) -> BackboneSpec:
    return build(BackboneSpec, {**VALUES, **fields}, "mine.yaml")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {**CLIP, "output": "cls"},
            "loader open_clip has the outputs pre_projection and embedding; got 'cls'",
        ),
        ({**CLIP, "output": "grid"}, "pre_projection and embedding; got 'grid'"),
        ({"output": "embedding"}, "output 'embedding' belongs to loader open_clip; got loader"),
        ({"weights": {"tag": "openai"}}, "weights.tag belongs to loader open_clip"),
        (
            {"weights": {"file": "x", "strip": "module."}},
            "weights.strip belongs to loader checkpoint; got loader 'timm'",
        ),
        (
            {"loader": "baseline", "weights": {"file": "x", "state_dict": "model"}},
            "weights.state_dict belongs to timm, open_clip, checkpoint, transformers; got loader",
        ),
        (
            {"weights": {"file": "x", "drop": ["fc."]}},
            "weights.drop belongs to checkpoint and transformers; got loader 'timm'",
        ),
        (ONNX, "loader onnx needs 'graph': {output: the tensor to read}"),
        ({"graph": {"output": "x"}}, "'graph' belongs to loader onnx; got loader 'timm'"),
        (
            {**ONNX, "graph": {"output": "x"}, "preprocessing": {"input_px": 4}},
            "does not contain its preprocessing: give crop_pct, crop_mode, interpolation, mean",
        ),
        (
            {"loader": "python", "options": {"depth": 1}, "weights": None},
            "'options' belong to timm, open_clip, checkpoint, transformers; got 'python'",
        ),
        (
            {"preprocessing": {"mean": [123.7, 116.3, 103.5]}},
            r"mean is of pixels from 0 to 1, .* got \[123.7, .*; divide those of .* by 255",
        ),
        (
            {"preprocessing": {"std": [58.4, 57.1, 57.4]}},
            "std is of pixels .* above 0 and up to",
        ),
        ({"preprocessing": {"std": [0.5, 0.5, 0]}}, r"std is of pixels .* got \[0.5, 0.5, 0.0\]"),
        ({"preprocessing": {"mean": [0.5, float("nan"), 0.5]}}, "mean is of pixels"),
        ({"output": "cls@"}, "mine.yaml: output: an output is written as 'cls'"),
        ({"output": {"layers": ["x"]}}, r"mine.yaml: output.layers: must be 'last' or a list"),
        ({"pooling": "cls"}, "unknown key 'pooling'"),
    ],
)
def test_a_contradictory_entry_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        entry(**fields)


def test_the_output_is_the_architectures_own_unless_the_entry_states_one():
    assert entry().output == DEFAULT
    assert entry(**CLIP).output == PRE_PROJECTION
    assert entry(output="cls@-2,-1").output == Output(layers=(-2, -1), pool="cls")
    assert entry(output={"layers": [-2, -1], "pool": "cls"}) == entry(output="cls@-2,-1")


def test_weights_follow_from_a_tagged_name_or_a_repository():
    tagged = {key: value for key, value in VALUES.items() if key != "weights"}
    tagged["architecture"] = "resnet50.a1_in1k"
    assert build(BackboneSpec, tagged, "test").weights.hub == "timm/resnet50.a1_in1k"
    tagged["architecture"] = "hf-hub:owner/name"
    assert build(BackboneSpec, tagged, "test").weights.hub == "owner/name"


def test_an_entry_survives_plain_values():
    for spec in (entry(output="cls@-2,-1"), entry(**CLIP), entry(output="grid")):
        assert BackboneSpec.model_validate(plain(spec)) == spec


def test_a_variant_drops_declared_facts_that_may_not_hold_for_it():
    spec = entry(width=384, input_px=224, params=7)
    other_output = spec.variant(output=Output(pool="cls"))
    assert (other_output.width, other_output.input_px, other_output.params) == (None, 224, 7)
    other_size = spec.variant(preprocessing=Preprocessing(input_px=96))
    assert (other_size.width, other_size.input_px, other_size.params) == (None, None, None)
    assert other_size.output == spec.output


def test_a_variant_without_a_change_is_the_entry_itself_and_shares_its_card():
    spec = entry(width=384)
    assert spec.variant() is spec
    assert spec.variant(output=Output()) is spec


@pytest.mark.parametrize("fields", [{}, {"output": "cls@-2,-1"}, {"output": "grid"}, CLIP])
def test_outputs_of_one_forward_share_its_entry_which_is_valid_itself(fields):
    spec = entry(**fields, width=4)
    other = spec.variant(output=EMBEDDING if spec.has_text else Output(pool="mean_patch"))
    assert spec.forward == other.forward
    assert BackboneSpec.model_validate(plain(spec.forward)) == spec.forward


def test_contradictions_list_each_declared_fact_that_differs():
    spec = entry(width=384, params=1_000)
    assert spec.contradictions(input_px=224, width=384, params=1_000) == []
    assert spec.contradictions(input_px=224, width=385, params=2_000) == [
        "width is declared as 384; it is 385",
        "params is declared as 1,000; it is 2,000",
    ]
