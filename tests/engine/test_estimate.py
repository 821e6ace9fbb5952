"""What a plan is said to take: by the speed that was measured on this device, once there was a race."""

from types import SimpleNamespace

import pytest

from bob.engine import estimate as forecast
from bob.extraction.runtimes.autotune import Choice
from bob.plan import Request
from bob.registry import load_registry
from bob.wiring import Need

FLOOR = load_registry().backbones["raw_pixels"]
EAGER = SimpleNamespace(cards={FLOOR: SimpleNamespace(seconds_per_image=0.1)})
"""A plan whose backbone takes eager PyTorch 0.1 s per image."""


def seconds(tmp_path, monkeypatch, remembered: Choice | None, **asked) -> float:
    """Of 100 images; a fifth less than eager is expected before autotuning."""
    monkeypatch.setattr(forecast, "load_choice", lambda path: remembered)
    monkeypatch.setattr(forecast, "expected_seconds", lambda eager, *_: 0.8 * eager)
    request = Request([], [], {}, {}, tmp_path, tmp_path, offline=True, **asked)
    return forecast._forward_seconds(request, EAGER, Need(FLOOR, "train", None), 100)


@pytest.mark.parametrize(
    ("remembered", "asked", "expected"),
    [
        (Choice("openvino", 4, 0.02), {"runtime": "auto"}, 2.0),
        (Choice("openvino", 4, 0.02), {"runtime": "openvino"}, 2.0),
        (Choice("openvino", 4, 0.02), {"runtime": "onnxruntime"}, 8.0),
        (Choice("openvino", 4, 0.02), {"runtime": "eager"}, 8.0),
        (None, {"runtime": "auto"}, 8.0),
        (Choice("openvino", 4, 0.02), {"runtime": "auto", "more_devices": ("cpu",)}, 1.0),
    ],
)
def test_the_winner_s_own_speed_is_used_where_it_will_run(
    tmp_path, monkeypatch, remembered, asked, expected
):
    assert seconds(tmp_path, monkeypatch, remembered, **asked) == pytest.approx(expected)
