"""Where weights come from, as records state it."""

import pytest

from bob.backbones.weights.source import source_text
from tests.builders.backbone_entries import entry


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ({"hub": "a/b", "revision": "c"}, "hub a/b@c"),
        ({"file": "x/w.pth"}, "file w.pth"),
        ({"package": "p", "file": "f"}, "package p"),
        ({"random": 3}, "random initialisation, seed 3"),
    ],
)
def test_records_state_where_weights_come_from(weights, text):
    assert source_text(entry(weights=weights).weights) == text
