"""Progress of a run: the time left counts each backbone's own speed, and cells."""

import pytest

from bob.engine.progress import OVERHEAD, PROBE_SECONDS, PassMeter, RunMeter
from bob.engine.work import Work
from bob.extraction.progress import Spent


class Clock:
    """A clock that a test advances."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def make_work() -> Work:
    """Two passes of 100 images by a fast and a slow backbone, and four cells."""
    images = {(d, "train", b): 100 for d in ("a", "b") for b in ("fast", "slow")}
    return Work(images, {"fast": 0.01, "slow": 0.1}, cells=4)


def test_before_anything_is_measured_the_expectations_count() -> None:
    meter = RunMeter(make_work(), Clock())
    assert meter.seconds_left() == pytest.approx(OVERHEAD * (2 + 20) + 4 * PROBE_SECONDS)
    assert meter.share_done() == 0.0


def test_what_precedes_the_first_image_is_no_share_of_the_run() -> None:
    """Loading and tuning take longer than the forward passes were expected to: 0 of 400 images."""
    clock = Clock()
    meter = RunMeter(make_work(), clock)
    meter.pass_begins("a", "train", ["fast", "slow"])
    clock.now = 60.0
    assert meter.share_done() == 0.0


def test_backbones_that_wait_for_loading_and_tuning_take_as_long_as_the_others_did() -> None:
    """22 s of forward passes and 4 s of cells are left throughout, and one backbone of two waits.

    It is expected to take the 20 s that the other one has been loading and tuning.
    """
    clock = Clock()
    meter = RunMeter(make_work(), clock)
    rest = meter.seconds_left()
    meter.pass_begins("a", "train", ["fast", "slow"])
    meter.setup_begins("fast")  # loading
    clock.now = 5.0
    meter.setup_begins("fast")  # tuning
    clock.now = 20.0
    assert meter.seconds_left() == pytest.approx(rest + 20.0)
    meter.forwarded("fast", 0, 0.0)
    clock.now = 60.0  # is no setup
    assert meter.seconds_left() == pytest.approx(rest + 20.0)
    meter.setup_begins("slow")
    assert meter.seconds_left() == pytest.approx(rest)
    assert meter.share_done() == 0.0


def test_the_share_of_a_run_counts_the_time_of_its_images_and_cells() -> None:
    """At the expected speeds of 0.01 and 0.1 s, and cells of 2 s, of which 2 of 4 are done.

    Forward passes take 22 s in all, those of dataset a 11 s; (11 + 4) / (22 + 8) = 1 / 2.
    """
    clock = Clock()
    meter = RunMeter(make_work(), clock)
    meter.pass_begins("a", "train", ["fast", "slow"])
    for backbone, seconds in (("fast", 1.0), ("slow", 10.0)):
        meter.forwarded(backbone, 100, seconds)
        meter.embedded(Spent(forward_seconds=seconds))
        clock.now += seconds
    meter.pass_ends()
    for _ in range(2):
        clock.now += 2.0
        meter.cell_ends()
    assert meter.share_done() == pytest.approx(0.5)


def test_variants_of_a_backbone_count_under_the_name_that_they_report() -> None:
    """Maps and another input size, 100 images each at 0.1 and 0.3 s: 200 at 0.2 s."""
    images = {("a", "train", f"b~{i}"): 100 for i in (1, 2)}
    names = {"b~1": "b", "b~2": "b"}
    meter = RunMeter(Work(images, {"b~1": 0.1, "b~2": 0.3}, 0, names=names), Clock())
    assert meter.seconds_left() == pytest.approx(OVERHEAD * 40)
    meter.pass_begins("a", "train", ["b", "b"])
    meter.forwarded("b", 100, 20.0)
    assert meter.share_done() == pytest.approx(0.5)
    meter.forwarded("b", 100, 20.0)
    assert meter.seconds_left() == 0


def test_measured_speeds_correct_the_expectations_of_the_others() -> None:
    """The fast one takes twice as long as expected, so the slow one is expected to, too."""
    meter = RunMeter(make_work(), Clock())
    meter.pass_begins("a", "train", ["fast", "slow"])
    meter.forwarded("fast", 50, 1.0)
    meter.embedded(Spent(forward_seconds=1.0))
    assert meter.seconds_left() == pytest.approx(150 * 0.02 + 200 * 0.2 + 4 * PROBE_SECONDS)


def test_the_time_left_is_right_from_the_first_tenth_on() -> None:
    """A simulated run: decoding adds a quarter, cells take 0.5 s, expectations are wrong by two.

    From a tenth of the run on, the estimate is within 30 % of what the rest takes.
    """
    speeds = {"fast": 0.02, "slow": 0.25}
    clock = Clock()
    meter = RunMeter(make_work(), clock)
    readings: list[tuple[float, float]] = []
    for dataset in ("a", "b"):
        meter.pass_begins(dataset, "train", list(speeds))
        for _ in range(10):
            spent = 0.0
            for backbone, seconds in speeds.items():
                meter.forwarded(backbone, 10, 10 * seconds)
                spent += 10 * seconds
            meter.embedded(Spent(forward_seconds=spent, waited_seconds=spent / 4))
            clock.now += 1.25 * spent
            readings.append((clock.now, meter.seconds_left()))
        meter.pass_ends()
        for _ in range(2):
            clock.now += 0.5
            meter.cell_ends()
            readings.append((clock.now, meter.seconds_left()))
    assert readings[-1][1] == 0.0
    for now, left in readings:
        if now >= 0.1 * clock.now:
            assert left == pytest.approx(clock.now - now, rel=0.3, abs=0.5)


def test_cells_that_are_scored_during_a_pass_take_no_time_of_their_own() -> None:
    """Of 4 cells one takes 2 s after a pass of 100 s, in which another was scored."""
    clock = Clock()
    meter = RunMeter(Work({}, {}, 4), clock)
    meter.pass_begins("a", "train", ["fast"])
    clock.now += 100.0
    meter.cell_ends()
    meter.pass_ends()
    clock.now += 2.0
    meter.cell_ends()
    assert meter.seconds_left() == pytest.approx(2 * 2.0)


def test_what_others_stored_is_done_at_the_end_of_the_pass() -> None:
    meter = RunMeter(make_work(), Clock())
    meter.pass_begins("a", "train", ["fast", "slow"])
    meter.pass_ends()
    assert meter.seconds_left() == pytest.approx(OVERHEAD * (1 + 10) + 4 * PROBE_SECONDS)


def test_the_end_of_one_pass_leaves_another_of_the_same_images() -> None:
    """The fast backbone embeds a split first, in a pass of its own."""
    meter = RunMeter(make_work(), Clock())
    meter.pass_begins("a", "train", ["fast"])
    meter.pass_ends()
    assert meter.seconds_left() == pytest.approx(OVERHEAD * (1 + 20) + 4 * PROBE_SECONDS)


def test_a_pass_states_its_speed_once_there_is_one() -> None:
    clock = Clock()
    meter = PassMeter("photos train, 8 backbones", 200, clock)
    assert meter.text() == "photos train, 8 backbones: 0/200 images"
    clock.now = 60.0  # loading and tuning
    meter.add(50, Spent(forward_seconds=2.0))
    assert meter.text() == "photos train, 8 backbones: 50/200 images"
    clock.now = 61.0
    meter.add(50, Spent(forward_seconds=1.0))
    assert meter.text() == "photos train, 8 backbones: 100/200 images, 50 images/s"


def test_a_slow_pass_states_seconds_per_image() -> None:
    clock = Clock()
    meter = PassMeter("photos train", 3, clock)
    for _ in range(2):
        clock.now += 4.0
        meter.add(1, Spent(forward_seconds=4.0))
    assert meter.text() == "photos train: 2/3 images, 4.0 s per image"


def test_a_pass_says_that_it_waits_for_decoding() -> None:
    clock = Clock()
    meter = PassMeter("photos train", 100, clock)
    for _ in range(2):
        clock.now += 5.0
        meter.add(50, Spent(decode_seconds=9.0, waited_seconds=4.0, forward_seconds=1.0))
    assert meter.text().endswith("10 images/s, waiting for decoding")
