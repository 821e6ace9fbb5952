"""State dicts: hashing, matching in order, and counters that no forward reads."""

import pytest
import torch

from bob.backbones.weights.tensors import match_in_order, tensor_hash, with_counters
from bob.errors import BackboneError

COUNTER = torch.tensor(0)


def test_the_hash_depends_on_names_shapes_types_and_values_and_not_on_their_order():
    a, b = torch.arange(3.0), torch.ones(2)
    assert tensor_hash({"a": a, "b": b}) == tensor_hash({"b": b, "a": a})
    states = [{"a": a}, {"b": a}, {"a": a + 1}, {"a": a.double()}, {"a": a.reshape(3, 1)}]
    assert len({tensor_hash(state) for state in states}) == len(states)


def test_counters_of_batches_may_be_missing_or_superfluous():
    a = torch.ones(2)
    expected = {"bn.weight": a, "bn.num_batches_tracked": COUNTER}
    filled = with_counters({"bn.weight": a, "norm.num_batches_tracked": COUNTER + 7}, expected)
    assert set(filled) == set(expected)
    assert filled["bn.num_batches_tracked"] == 0
    kept = with_counters({"bn.weight": a, "bn.num_batches_tracked": COUNTER + 7}, expected)
    assert kept["bn.num_batches_tracked"] == 7


def test_tensors_are_matched_in_order_whether_or_not_a_file_has_counters():
    a, b = torch.ones(2), torch.ones(3)
    plain, counted = {"0": a, "1": b}, {"0": a, "num_batches_tracked": COUNTER, "1": b}
    assert match_in_order("mine", plain, {"x": a, "bn.num_batches_tracked": COUNTER, "y": b}) == {
        "x": a,
        "y": b,
    }
    assert match_in_order("mine", counted, {"x": a, "y": b}) == {"x": a, "y": b}
    with pytest.raises(BackboneError, match="contains 2 tensors, its architecture has 1"):
        match_in_order("mine", plain, {"x": a})
