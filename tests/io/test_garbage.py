"""Work without the garbage collector."""

import gc

import pytest

from bob.io.garbage import collector_paused


def test_the_collector_is_paused_within_and_runs_afterwards():
    with pytest.raises(ImportError), collector_paused():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_a_collector_that_was_paused_before_stays_paused():
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
