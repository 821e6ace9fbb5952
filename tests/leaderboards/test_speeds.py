"""Speeds are compared within one machine and runtime only."""

from bob.leaderboards.limits import BackboneLimits, check_limits
from bob.leaderboards.speeds import SpeedConditions, speeds
from bob.records.record import Cost, Record
from tests.builders.leaderboard_records import record

CPU = SpeedConditions("cpu", "EPYC", 2, "eager")


def measured(name: str, images_per_s: float, runtime: str = "eager", **changes: object) -> Record:
    """Return a record of a backbone whose features were made at this speed."""
    fields = {
        "device": "cpu",
        "device_name": "EPYC",
        "threads": 2,
        "batch_size": 8,
        "images": 100,
        "decode_seconds": 1.0,
        "forward_seconds": 1.0,
        "probe_seconds": 1.0,
    }
    cost = Cost(**{**fields, "images_per_s": images_per_s, "runtime": runtime, **changes})
    return record(name, cost=cost)


SPEEDS = [
    measured("a", 100),
    measured("a", 120),
    measured("b", 300, "openvino"),
    measured("c", 50),
    measured("d", 900, device="cuda:1", device_name="H200"),
    measured("e", 400, "eager + openvino"),
    measured("f", 80, threads=8),
]


def test_speeds_are_those_of_the_conditions_of_most_backbones() -> None:
    found = speeds(SPEEDS)
    assert found.reference == CPU
    names = "abcdef"
    assert {name: found.comparable(name) for name in names} == {
        "a": 120,  # the best: other load can only slow a machine down
        "b": None,
        "c": 50,
        "d": None,
        "e": None,
        "f": None,
    }
    assert {name: found.not_comparable(name) for name in names} == {
        "a": "",
        "b": "300 images/s on cpu with openvino",
        "c": "",
        "d": "900 images/s on cuda (H200) with eager",
        "e": "with several runtimes at once",
        "f": "80 images/s on cpu with 8 threads with eager",
    }


def test_a_limit_on_the_speed_excludes_no_backbone_that_another_runtime_may_make_fast() -> None:
    """`c` is slow with eager, and may be fast with openvino, with which `b` was measured."""
    check = check_limits(SPEEDS, BackboneLimits(min_images_per_s=200), speeds(SPEEDS))
    assert check.excluded == {}
    assert check.not_comparable == {
        "a": "120 images/s with eager; not measured with openvino",
        "c": "50 images/s with eager; not measured with openvino",
        "d": "900 images/s on cuda (H200) with eager",
        "e": "with several runtimes at once",
        "f": "80 images/s on cpu with 8 threads with eager",
    }


def test_a_backbone_measured_with_every_runtime_is_excluded_if_all_are_too_slow() -> None:
    records = [*SPEEDS, measured("c", 60, "openvino")]
    check = check_limits(records, BackboneLimits(min_images_per_s=200), speeds(records))
    assert check.excluded == {"c": "60 images/s with openvino, 50 images/s with eager"}


def test_speeds_of_one_runtime_are_selected() -> None:
    found = speeds(SPEEDS, runtime="openvino")
    assert found.reference == CPU._replace(runtime="openvino")
    assert [found.comparable(name) for name in "abc"] == [None, 300, None]
