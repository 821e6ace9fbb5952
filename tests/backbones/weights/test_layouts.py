"""If an entry does not describe its checkpoint's layout, the error states a layout that loads."""

import re

import pytest
import torch

from bob.backbones.loaders.checkpoint import backbone_tensors
from bob.backbones.weights.layouts import CheckpointLayout, fitting_layouts
from bob.errors import BackboneError, UnavailableError
from bob.specs import Weights
from tests.builders.checkpoints import BODY, LAYOUTS, PUBLISHED, RESNET, VIT, load, spec

WITH_LAYOUT = [name for name, layout in PUBLISHED.items() if layout]


@pytest.mark.parametrize("name", WITH_LAYOUT)
def test_the_error_states_the_published_layout(tmp_path, name):
    architecture, write = LAYOUTS[name]
    torch.save(write(BODY[architecture]), tmp_path / "c.pth")
    strip, key = PUBLISHED[name].get("strip"), PUBLISHED[name].get("state_dict")
    entry = spec(
        architecture,
        tmp_path / "c.pth",
        state_dict=None if key == "state_dict" else key,
        strip="",
        drop=["no_such_tensor."],
    )
    with pytest.raises(
        BackboneError, match=r"It fits with loader checkpoint and, beside the file, weights: \{"
    ) as caught:
        load(entry)
    message = str(caught.value)
    assert (f"strip: {strip}" in message) if strip else ("strip" not in message)
    assert key is None or f"state_dict: {key}" in message


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_offered_layout_yields_exactly_the_architecture_s_tensors(name):
    architecture, write = LAYOUTS[name]
    content, expected = write(BODY[architecture]), BODY[architecture]
    offered = fitting_layouts(content, expected)
    assert offered
    for layout in offered:
        state = content
        for key in (layout.state_dict or "").split("."):
            state = state[key] if key else state
        weights = Weights(file="c.pth", strip=layout.strip, drop=layout.drop)
        tensors = backbone_tensors("mine", state, weights)
        assert set(tensors) == set(expected)
        assert all(tensors[key].shape == expected[key].shape for key in expected)


def test_student_and_teacher_are_both_offered():
    (student, teacher) = fitting_layouts(LAYOUTS["dino_full"][1](BODY[VIT]), BODY[VIT])
    assert student.to_yaml() == "{state_dict: student, strip: module.backbone.}"
    assert teacher.to_yaml() == "{state_dict: teacher, strip: backbone., drop: [head.]}"


def test_every_network_of_one_state_dict_is_offered():
    a = torch.zeros(2)
    offered = fitting_layouts({"s.x": a, "t.x": a, "t.h": a, "u.x": torch.zeros(3)}, {"x": a})
    assert [layout.to_yaml() for layout in offered] == [
        "{strip: s., drop: [t., u.]}",
        "{strip: t., drop: [s., t.h, u.]}",
    ]


def test_layouts_that_do_not_fit_are_not_offered():
    a, b = torch.zeros(2), torch.zeros(3)
    assert fitting_layouts({"m.x": a}, {"x": b}) == [], "another shape"
    assert fitting_layouts({"m.x": a}, {"x": a, "y": a}) == [], "a tensor that the file lacks"
    assert fitting_layouts({"model": a, "epoch": 3}, {"x": a}) == [], (
        "not a mapping of names to tensors"
    )
    assert fitting_layouts({"x": a, "x.y": a}, {"x.y": a}) == [], (
        "an unused name is a prefix of a used one"
    )
    assert fitting_layouts({"x": a, **{f"{i}.w": a for i in range(9)}}, {"x": a}) == [], (
        "more prefixes to drop than a message can show"
    )
    assert fitting_layouts({"x": a, "y.w": a, "y.v": a}, {"x": a}) == [
        CheckpointLayout(None, "", ("y.",))
    ]


def test_if_no_layout_fits_the_error_shows_names_of_both_sides(tmp_path):
    torch.save({"trunk.stem.weight": torch.zeros(2)}, tmp_path / "c.pth")
    with pytest.raises(
        BackboneError,
        match=r"does not fit.* The file's names begin trunk.stem.weight; "
        r"the architecture's conv1.weight, bn1.weight\.",
    ):
        load(spec(RESNET, tmp_path / "c.pth"))


@pytest.mark.parametrize("content", [b"hello" * 100, b"ONNX"])
@pytest.mark.parametrize("name", ["c.pth", "c.safetensors"])
def test_the_error_about_a_file_that_is_no_checkpoint_quotes_its_first_bytes(
    tmp_path, name, content
):
    (tmp_path / name).write_bytes(content)
    message = (
        "is not a complete checkpoint: truncated, damaged, "
        f"or of another format (it begins with {content[:20]!r}"
    )
    with pytest.raises(BackboneError, match=rf"{re.escape(message)}(; .*)?\)\.$"):
        load(spec(RESNET, tmp_path / name))


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1", b"<html>"])
def test_the_error_about_a_file_that_stands_in_for_weights_offers_no_layout(tmp_path, content):
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(UnavailableError, match=r"(git lfs pull|download the file)"):
        load(spec(RESNET, tmp_path / "c.pth"))


def test_content_that_refers_to_itself_is_searched_once():
    """60 mappings, each twice in the next, would be 2^60 places."""
    content: dict = {"x": torch.zeros(2)}
    for _ in range(60):
        content = {"a": content, "b": content}
    content["self"] = content
    (layout,) = fitting_layouts(content, {"x": torch.zeros(2)})
    assert layout.state_dict == ".".join("a" * 60)
