"""What workers ask the nodes of a cluster for."""

import sys

import pytest

from bob.engine.ray_cluster import (
    PRIVATE,
    PlacementWatch,
    Slot,
    cluster_device,
    connect,
    slots,
)
from bob.errors import ConfigError


def test_a_gpu_node_holds_a_worker_per_gpu_and_leaves_a_quarter_of_its_cores() -> None:
    """64 cores: 48 for 8 workers, 6 each; 16 are left, of which 4 make one that scores."""
    node = {"CPU": 64.0, "GPU": 8.0}
    embed, score = slots([node, {"CPU": 32.0}], "cuda", None)
    assert (embed, score) == (Slot(1, 6, share=0.75), Slot(0, 4))
    assert embed.places(node) == 8 and score.places({"CPU": 16.0}) == 4


def test_the_smallest_node_decides() -> None:
    """4 cores: 3 to embed, 1 to score."""
    expected = Slot(0, 3, share=0.75), Slot(0, 1)
    assert slots([{"CPU": 16.0}, {"CPU": 4.0}], "cpu", None) == expected


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cuda", 1)])
def test_a_node_of_one_core_holds_both_kinds(device: str, gpus: int) -> None:
    node = {"CPU": 1.0, "GPU": float(gpus)}
    embed, score = slots([node], device, None)
    assert (embed, score) == (Slot(gpus, 0.75, share=0.75), Slot(0, 0.25))
    assert embed.places(node) == 1 and embed.threads == score.threads == 1


def test_requested_decoding_threads_are_cores_of_a_worker() -> None:
    """8 cores: 3 workers of 2 leave 2 cores; one of 8 would leave none."""
    embed, score = slots([{"CPU": 8.0}], "cpu", 2)
    assert (embed, score) == (Slot(0, 2, share=0.75), Slot(0, 2))
    assert embed.places({"CPU": 8.0}) == 3
    assert slots([{"CPU": 8.0}], "cpu", 8)[0] == Slot(0, 6, share=0.75)


def test_no_node_has_a_place_for_what_it_lacks() -> None:
    slot = Slot(1, 4, memory_bytes=2**30)
    assert slot.places({"CPU": 8.0, "memory": 2.0**31}) == 0
    assert slot.places({"CPU": 8.0, "GPU": 4.0, "memory": 2.0**31}) == 2
    assert slot.text() == "1 GPU and 4 CPU and 1.0 GiB"
    assert slot.options() == {"num_gpus": 1, "num_cpus": 4, "memory": 2**30}


def test_without_ray_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'bob-bench\[ray\]'"):
        connect("ray")


def test_a_cluster_computes_on_gpus_where_a_node_has_one() -> None:
    nodes = [{"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}]
    assert cluster_device(nodes, "auto") == "cuda" and cluster_device(nodes[:1], "auto") == "cpu"
    assert cluster_device(nodes, "cpu") == "cpu"
    with pytest.raises(ConfigError, match=r"'cuda:1' is of one machine"):
        cluster_device(nodes, "cuda:1")


def test_a_cluster_of_ours_reports_nothing_and_needs_a_token() -> None:
    """The address receives nothing: port 9 of this machine is closed, or discards."""
    assert PRIVATE["RAY_USAGE_STATS_ENABLED"] == "0" and PRIVATE["RAY_AUTH_MODE"] == "token"
    assert PRIVATE["RAY_USAGE_STATS_REPORT_URL"].startswith("http://127.0.0.1:")


def test_a_unit_that_no_node_can_take_is_reported_once_within_30_seconds() -> None:
    watch, nodes = PlacementWatch(), [{"CPU": 4.0}, {"CPU": 2.0}]
    assert watch.problem(Slot(0, 4), nodes) is None
    problem = watch.problem(Slot(1, 4), nodes)
    assert problem is not None and "needs 1 GPU and 4 CPU" in problem
    assert watch.notice(problem, nodes, waited=10.0) == ""
    notice = watch.notice(problem, nodes, waited=25.0)
    assert "(nodes: 4 CPU, 0 GPU; 2 CPU, 0 GPU); waiting for one that can" in notice
    assert watch.notice(problem, nodes, waited=30.0) == ""
    assert not watch.is_hopeless(150.0) and watch.is_hopeless(201.0)
    assert watch.problem(Slot(1, 4), [*nodes, {"CPU": 8.0, "GPU": 1.0}]) is None
