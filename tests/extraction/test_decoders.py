"""Decoding threads rest while something else is measured."""

import threading
from concurrent.futures import ThreadPoolExecutor

from bob.extraction.blocks import Decoders


def test_no_work_is_done_during_a_pause_and_all_of_it_afterwards() -> None:
    with ThreadPoolExecutor(3) as pool:
        decoders, done = Decoders(pool), list[int]()
        with decoders.paused():
            futures = [decoders.submit(done.append, number) for number in range(20)]
            assert pool.submit(lambda: None) is not None
            assert done == []
        for future in futures:
            future.result(timeout=60)
        assert sorted(done) == list(range(20))


def test_a_pause_waits_for_work_under_way() -> None:
    with ThreadPoolExecutor(2) as pool:
        decoders, order = Decoders(pool), list[str]()
        begun, may_end = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            may_end.wait(60)
            order.append("work")

        running = decoders.submit(work)
        assert begun.wait(60)
        pauser = pool.submit(lambda: _pause(decoders, order, may_end))
        pauser.result(timeout=60)
        running.result(timeout=60)
        assert order == ["asked", "work", "paused"]


def _pause(decoders: Decoders, order: list[str], may_end: threading.Event) -> None:
    order.append("asked")
    may_end.set()
    with decoders.paused():
        order.append("paused")


def test_work_that_fails_ends_as_well() -> None:
    with ThreadPoolExecutor(1) as pool:
        decoders = Decoders(pool)
        failed = decoders.submit(int, "x")
        assert isinstance(failed.exception(timeout=60), ValueError)
        with decoders.paused():
            pass
