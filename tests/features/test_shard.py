"""What shards cost: efforts are summed, and speeds of different runtimes stay recognisable."""

from bob.features.shard import Effort

FIRST = Effort(100, 2.0, 10.0, "cpu", 4, "openvino", "model", 2, 500.0)
SECOND = Effort(50, 1.0, 20.0, "cpu", 16, "eager", "model", 2, 400.0)


def test_efforts_are_summed_and_runtimes_joined() -> None:
    both = FIRST + SECOND
    assert (both.images, both.decode_seconds, both.forward_seconds) == (150, 3.0, 30.0)
    assert (both.runtime, both.batch_size, both.peak_mib) == ("eager + openvino", 16, 500.0)
    assert (both + FIRST).runtime == "eager + openvino"
    assert (FIRST + FIRST).runtime == "openvino"


def test_the_sum_of_no_efforts_changes_nothing() -> None:
    assert sum((FIRST,), Effort()) == FIRST == FIRST + Effort()


def test_a_share_of_an_effort_costs_a_share_of_its_seconds() -> None:
    half = FIRST.share(50)
    assert (half.images, half.decode_seconds, half.forward_seconds) == (50, 1.0, 5.0)
    assert half.runtime == "openvino"
    assert Effort().share(0) == Effort()
