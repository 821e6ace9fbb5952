"""Outputs: their text form, and the refusal of every inconsistent one."""

import json

import pytest
from pydantic import BaseModel

from bob.errors import ConfigError
from bob.specs import DEFAULT, EMBEDDING, GRID, KEYS, Output
from bob.specs.output import PRE_PROJECTION
from bob.specs.yaml import build

TEXTS = {
    "default": DEFAULT,
    "cls": Output(pool="cls"),
    "mean_patch": Output(pool="mean_patch"),
    "cls+mean_patch": Output(pool="cls+mean_patch"),
    "pre_projection": PRE_PROJECTION,
    "embedding": EMBEDDING,
    "grid": GRID,
    "keys": KEYS,
    "cls@-1": Output(layers=(-1,), pool="cls"),
    "cls@-4,-3,-2,-1": Output(layers=(-4, -3, -2, -1), pool="cls"),
    "cls+mean_patch@0,11": Output(layers=(0, 11), pool="cls+mean_patch"),
    "grid@-1,3": Output(layers=(-1, 3), tokens="grid"),
}


@pytest.mark.parametrize(("text", "output"), TEXTS.items())
def test_an_output_and_its_text_are_inverse(text, output):
    assert str(output) == text
    assert Output.model_validate(text) == output
    assert hash(Output.model_validate(text)) == hash(output)


@pytest.mark.parametrize("text", TEXTS)
def test_an_output_survives_json_as_value_and_as_key(text):
    class Shapes(BaseModel):
        read: Output
        widths: dict[Output, int]

    output = Output.model_validate(text)
    shapes = Shapes(read=output, widths={output: 3})
    assert Shapes.model_validate_json(shapes.model_dump_json()) == shapes
    assert json.loads(shapes.model_dump_json()) == {"read": text, "widths": {text: 3}}


def test_an_output_can_be_written_as_a_mapping():
    assert build(Output, {"layers": [-2, -1], "pool": "cls"}, "test") == Output(
        layers=(-2, -1), pool="cls"
    )
    assert build(Output, {"tokens": "grid"}, "test") == GRID
    assert build(Output, {"layers": "last"}, "test") == DEFAULT


def test_outputs_of_other_layers_or_in_another_order_differ():
    texts = ["cls", "cls@-1", "cls@-2,-1", "cls@-1,-2", "mean_patch@-1", "grid", "grid@-1"]
    assert len({Output.model_validate(text) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"layers": [], "pool": "cls"}, r"layers: must name at least one layer, or be 'last'"),
        ({"layers": [-1, 0, -1], "pool": "cls"}, r"layers: must differ; got \[-1, 0, -1\]"),
        ({"layers": [-1]}, r"pool 'default' belongs to the last layer; with layers \[-1\] use"),
        ("embedding@3", "pool 'embedding' belongs to the last layer"),
        ("pre_projection@3", "pool 'pre_projection' belongs to the last layer"),
        ({"tokens": "grid", "pool": "cls"}, "a grid is not pooled; got pool 'cls' with tokens"),
        ({"layers": [1.0], "pool": "cls"}, r"'last' or a list of whole numbers; got \[1.0\]"),
        ({"layers": [True], "pool": "cls"}, r"'last' or a list of whole numbers; got \[True\]"),
        ({"layers": -1, "pool": "cls"}, "'last' or a list of whole numbers; got -1"),
        ({"layers": "first", "pool": "cls"}, "'last' or a list of whole numbers; got 'first'"),
        ({"tokens": "patches"}, "tokens must be one of 'pooled', 'grid' or 'keys'; got"),
        ({"tokens": "keys", "pool": "cls"}, "a grid is not pooled; got pool 'cls' with tokens"),
        ("keys@-1", r"keys are those of the last attention; got layers \(-1,\)"),
        ({"pool": "max"}, "pool must be one of 'default', 'cls', .*; got 'max'"),
        ({"pol": "cls"}, "unknown key 'pol'; did you mean 'pool'"),
        ("clss", "pool must be one of 'default', 'cls', .*; got 'clss'"),
        ("cls@", "is written as 'cls', 'grid' or 'cls@-2,-1'; got 'cls@'"),
        ("cls@-1,", "is written as .*; got 'cls@-1,'"),
        ("cls@last", "is written as .*; got 'cls@last'"),
        ("CLS", "is written as .*; got 'CLS'"),
        ("", "is written as .*; got ''"),
        (3, r"must be a mapping; got 3 \(int\)"),
    ],
)
def test_an_inconsistent_output_is_refused(value, message):
    with pytest.raises(ConfigError, match=message):
        build(Output, value, "test")
