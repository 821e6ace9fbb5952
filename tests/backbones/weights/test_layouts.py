"""A checkpoint whose entry does not tell its layout: the error tells the layout, and what it tells loads."""

import re

import pytest
import torch

from bob.backbones.loaders.checkpoint import own_tensors
from bob.backbones.weights.layouts import CheckpointLayout, fitting_layouts
from bob.errors import BackboneError
from bob.specs import Weights
from tests.builders.checkpoints import BODY, LAYOUTS, PUBLISHED, RESNET, VIT, load, spec

UNTOLD = [name for name, layout in PUBLISHED.items() if layout]


@pytest.mark.parametrize("name", UNTOLD)
def test_the_error_tells_the_published_layout(tmp_path, name):
    architecture, write = LAYOUTS[name]
    torch.save(write(BODY[architecture]), tmp_path / "c.pth")
    strip, place = PUBLISHED[name].get("strip"), PUBLISHED[name].get("state_dict")
    with pytest.raises(
        BackboneError, match=r"It fits with loader checkpoint and, beside the file, weights: \{"
    ) as told:
        load(
            spec(
                architecture,
                tmp_path / "c.pth",
                state_dict=None if place == "state_dict" else place,
                strip="",
                drop=["no_such_tensor."],
            )
        )
    assert (f"strip: {strip}" in str(told.value)) if strip else ("strip" not in str(told.value))
    assert place is None or f"state_dict: {place}" in str(told.value)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_that_is_offered_gives_exactly_the_architecture_s_tensors(name):
    architecture, write = LAYOUTS[name]
    content, wanted = write(BODY[architecture]), BODY[architecture]
    offered = fitting_layouts(content, wanted)
    assert offered
    for layout in offered:
        state = content
        for key in (layout.state_dict or "").split("."):
            state = state[key] if key else state
        taken = own_tensors(
            "mine", state, Weights(file="c.pth", strip=layout.strip, drop=layout.drop)
        )
        assert set(taken) == set(wanted) and all(
            taken[key].shape == wanted[key].shape for key in wanted
        )


def test_student_and_teacher_are_both_offered():
    (student, teacher) = fitting_layouts(LAYOUTS["dino_full"][1](BODY[VIT]), BODY[VIT])
    assert student.in_words() == "{state_dict: student, strip: module.backbone.}"
    assert teacher.in_words() == "{state_dict: teacher, strip: backbone., drop: [head.]}"


def test_what_does_not_fit_is_not_offered():
    a, b = torch.zeros(2), torch.zeros(3)
    assert fitting_layouts({"m.x": a}, {"x": b}) == [], "another shape"
    assert fitting_layouts({"m.x": a}, {"x": a, "y": a}) == [], "a tensor that the file lacks"
    assert fitting_layouts({"model": a, "epoch": 3}, {"x": a}) == [], (
        "no mapping of names to tensors"
    )
    assert fitting_layouts({"x": a, "x.y": a}, {"x.y": a}) == [], (
        "a stranger's name begins the backbone's own"
    )
    assert fitting_layouts({"x": a, **{f"{i}.w": a for i in range(9)}}, {"x": a}) == [], (
        "more to drop than a message can show"
    )
    assert fitting_layouts({"x": a, "y.w": a, "y.v": a}, {"x": a}) == [CheckpointLayout(None, "", ("y.",))]


def test_where_nothing_fits_both_sides_names_are_shown(tmp_path):
    torch.save({"trunk.stem.weight": torch.zeros(2)}, tmp_path / "c.pth")
    with pytest.raises(
        BackboneError,
        match=r"does not fit.* The file's names begin trunk.stem.weight; the architecture's conv1.weight, bn1.weight\.",
    ):
        load(spec(RESNET, tmp_path / "c.pth"))


@pytest.mark.parametrize(
    "content",
    [b"version https://git-lfs.github.com/spec/v1", b"<!DOCTYPE html>", b"hello" * 100, b""],
)
@pytest.mark.parametrize("name", ["c.pth", "c.safetensors"])
def test_a_file_that_is_no_checkpoint_is_told_by_its_first_bytes(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    words = f"is not a whole checkpoint: cut short, damaged, or of another format (it begins with {content[:20]!r}"
    with pytest.raises(BackboneError, match=rf"{re.escape(words)}(; .*)?\)\.$"):
        load(spec(RESNET, tmp_path / name))
