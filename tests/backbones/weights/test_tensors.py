"""State dicts: hashing, and files that are not plain checkpoints."""

import pytest
import torch

from bob.backbones.weights.tensors import read_tensors, tensor_hash
from bob.errors import BackboneError


def test_the_hash_depends_on_names_shapes_types_and_values_and_not_on_their_order():
    a, b = torch.arange(3.0), torch.ones(2)
    assert tensor_hash({"a": a, "b": b}) == tensor_hash({"b": b, "a": a})
    states = [{"a": a}, {"b": a}, {"a": a + 1}, {"a": a.double()}, {"a": a.reshape(3, 1)}]
    assert len({tensor_hash(state) for state in states}) == len(states)


def test_a_pickle_that_contains_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "hook": print}, path)
    with pytest.raises(
        BackboneError, match="contains more than tensors, and a pickle can run code: not loaded"
    ):
        read_tensors("mine", path)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "a.pth"),
        (b"no checkpoint", "a.pth"),
        (b"\x08\0\0\0\0\0\0\0{}", "a.safetensors"),
        (b"", "a.safetensors"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BackboneError, match="is not a complete checkpoint"):
        read_tensors("mine", tmp_path / name)


def test_a_file_without_a_state_dict_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BackboneError, match="contains no state dict"):
        read_tensors("mine", tmp_path / "list.pth")
