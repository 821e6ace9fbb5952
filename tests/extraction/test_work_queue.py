"""Spans handed out among processes and hosts.

Each is computed once, none is lost with a host, and no clock is trusted.
"""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from bob.errors import StoreError
from bob.extraction import work_queue
from bob.extraction.work_queue import SpanQueue
from bob.features.sharding import SPAN_IMAGES
from bob.features.store import FeatureStore
from bob.io import leases
from bob.io.leases import STALE_SECONDS, LeaseObserver
from bob.io.processes import this_process
from tests.builders.features import KEY as SMALL_KEY
from tests.builders.features import shard

COUNT = 3 * SPAN_IMAGES
KEY = dataclasses.replace(SMALL_KEY, count=COUNT)
OTHER = dataclasses.replace(KEY, weights_hash="other")
ONE_SPAN = dataclasses.replace(KEY, count=SPAN_IMAGES)
ELSEWHERE = {"machine": "another host", "pid": 1, "born": 0.0, "nonce": "theirs", "beats": 0}


class Clock:
    """A clock that stands still until a test sets it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


def lease_file(store: FeatureStore, span: int, key: object = KEY) -> Path:
    path = store.folder(key) / f"{span:06d}.lease"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_two_processes_share_the_spans_and_none_is_handed_out_twice(store):
    ours = SpanQueue(store, [KEY], COUNT)
    theirs = SpanQueue(FeatureStore(store.root), [KEY], COUNT)
    spans = [
        ours.next(wait=False),
        theirs.next(wait=False),
        ours.next(wait=False),
        theirs.next(wait=False),
    ]
    assert [span and span.number for span in spans] == [0, 1, 2, None]


def test_a_span_is_handed_out_for_the_keys_that_lack_shards_of_it(store):
    store.write(OTHER, 0, shard())
    queue = SpanQueue(store, [KEY, OTHER], COUNT)
    spans = [queue.next(wait=False), queue.next(wait=False)]
    assert [set(span.missing) for span in spans] == [{KEY}, {KEY, OTHER}]
    assert [len(span.leases) for span in spans] == [1, 2]


def test_a_span_that_another_stored_meanwhile_is_counted_and_not_handed_out(store):
    counted: list[int] = []
    queue = SpanQueue(store, [KEY], COUNT, on_stored=counted.append)
    store.write(KEY, 0, shard())
    assert queue.next(wait=False).number == 1
    assert counted == [SPAN_IMAGES]


def test_a_waiting_process_gets_the_span_that_another_gives_up(store, monkeypatch):
    waits: list[int] = []
    theirs = SpanQueue(FeatureStore(store.root), [ONE_SPAN], SPAN_IMAGES)
    ours = SpanQueue(store, [ONE_SPAN], SPAN_IMAGES, on_wait=lambda: waits.append(1))
    theirs.next(wait=False)
    monkeypatch.setattr(work_queue.time, "sleep", lambda _: theirs.close())
    assert ours.next(wait=True).number == 0 and waits == [1]


def test_waiting_ends_when_another_process_has_stored_the_last_span(store, monkeypatch):
    other = FeatureStore(store.root)
    theirs = SpanQueue(other, [ONE_SPAN], SPAN_IMAGES)
    ours = SpanQueue(store, [ONE_SPAN], SPAN_IMAGES)
    span = theirs.next(wait=False)

    def finish(_):
        other.write(ONE_SPAN, 0, shard())
        theirs.finish(span)

    monkeypatch.setattr(work_queue.time, "sleep", finish)
    assert ours.next(wait=True) is None


def test_spans_of_dropped_keys_are_not_handed_out(store):
    queue = SpanQueue(store, [KEY, OTHER], COUNT)
    queue.drop([OTHER])
    assert set(queue.next(wait=False).missing) == {KEY}
    queue.drop([KEY])
    assert queue.next(wait=True) is None


def test_no_lease_is_left_where_the_disk_refuses_another(store, monkeypatch):
    """The first key is leased before the folder of the second refuses a file."""
    real = FeatureStore.lease

    def lease(self, key, span):
        if key == OTHER:
            raise StoreError("the disk is full")
        return real(self, key, span)

    monkeypatch.setattr(FeatureStore, "lease", lease)
    queue = SpanQueue(store, [KEY, OTHER], COUNT)
    with pytest.raises(StoreError, match="the disk is full"):
        queue.next(wait=True)
    assert list(store.root.rglob("*.lease")) == []
    renewed = {lease.path for lease in leases._HEARTBEAT._leases}
    assert not any(path.is_relative_to(store.root) for path in renewed)


def test_a_lease_is_stale_when_its_bytes_stay_the_same_on_the_observer_s_clock(store):
    """A lost host's lease has a modification time far in the future, which means nothing."""
    path, observer = lease_file(store, 0), LeaseObserver(clock := Clock())
    path.write_text(json.dumps(ELSEWHERE))
    os.utime(path, (4e9, 4e9))
    assert not observer.is_stale(path)
    clock.now = STALE_SECONDS
    assert not observer.is_stale(path) and observer.acquire(path) is None
    clock.now = STALE_SECONDS + 1
    assert observer.is_stale(path)
    acquired = observer.acquire(path)
    assert acquired is not None
    assert json.loads(path.read_text())["nonce"] == acquired.content["nonce"]
    acquired.release()
    assert not list(path.parent.iterdir())


def test_a_living_host_with_a_wrong_clock_keeps_its_lease(store):
    path, observer = lease_file(store, 0), LeaseObserver(clock := Clock())
    for beat in range(5):
        path.write_text(json.dumps(ELSEWHERE | {"beats": beat}))
        os.utime(path, (0, 0))
        clock.now += STALE_SECONDS
        assert not observer.is_stale(path)


def test_leases_survive_when_the_machine_s_clock_is_set(store, monkeypatch):
    """psutil derives a process's start from the time of day, which jumps by an hour here."""
    path = lease_file(store, 0)
    path.write_text(json.dumps({**this_process(), "nonce": "x"}))
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: real(process) + 3600)
    assert not LeaseObserver().is_stale(path)


def test_the_span_of_a_lost_host_is_taken_over_once_its_lease_is_stale(store, monkeypatch):
    """The lost host leases span 1 of 3. Time passes only while the queue waits."""
    lease_file(store, 1).write_text(json.dumps(ELSEWHERE))
    store._observer, slept = LeaseObserver(clock := Clock()), []
    queue = SpanQueue(store, [KEY], COUNT)

    def sleep(seconds):
        slept.append(seconds)
        clock.now += 50.0

    monkeypatch.setattr(work_queue.time, "sleep", sleep)
    handed_out = []
    while span := queue.next(wait=True):
        handed_out.append((span.number, len(slept)))
        store.write(KEY, span.number, shard(seed=span.number))
        queue.finish(span)
    assert handed_out == [(0, 0), (2, 0), (1, 3)], (
        "50 s and 100 s are no more than STALE_SECONDS, 150 s are"
    )


def test_a_slow_host_s_span_is_waited_for_while_its_lease_is_renewed(store, monkeypatch):
    """It renews the lease between our polls, and stores its shard after an hour."""
    path = lease_file(store, 0, SMALL_KEY)
    path.write_text(json.dumps(ELSEWHERE))
    store._observer, beats = LeaseObserver(clock := Clock()), iter(range(1, 10**6))

    def sleep(_):
        clock.now += STALE_SECONDS
        path.write_text(json.dumps(ELSEWHERE | {"beats": next(beats)}))
        if clock.now >= 3600:
            FeatureStore(store.root).write(SMALL_KEY, 0, shard(seed=7))
            path.unlink()

    monkeypatch.setattr(work_queue.time, "sleep", sleep)
    assert SpanQueue(store, [SMALL_KEY], 6).next(wait=True) is None
    np.testing.assert_array_equal(store.read(SMALL_KEY).rows, shard(seed=7).rows)


@pytest.mark.parametrize("wrong", ["pid", "born"])
def test_the_lease_of_an_ended_process_of_this_machine_is_stale_at_once(store, wrong):
    """Either no process has its id, or one that started at another time."""
    gone = {"pid": psutil.pids()[-1] + 10**6} if wrong == "pid" else {"born": 1.0}
    path = lease_file(store, 0)
    path.write_text(json.dumps({**this_process(), "nonce": "x", **gone}))
    assert LeaseObserver().is_stale(path)
    path.write_text(json.dumps({**this_process(), "nonce": "x"}))
    assert not LeaseObserver().is_stale(path)


def test_a_lease_is_readable_by_other_users_whatever_the_umask(store):
    before = os.umask(0o077)
    try:
        lease = LeaseObserver().acquire(lease_file(store, 0))
    finally:
        os.umask(before)
    assert lease is not None and lease.path.stat().st_mode & 0o777 == 0o644
    lease.release()


@pytest.fixture
def unreadable_lease(store, monkeypatch):
    """Another user's lease without read permission, which root would have all the same."""
    path, real = lease_file(store, 0, SMALL_KEY), Path.read_bytes
    path.write_text(json.dumps(ELSEWHERE))

    def read_bytes(self):
        if self.parent == path.parent and self.name.startswith(path.name):
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    return path


def test_an_unreadable_lease_that_is_not_renewed_is_taken_over(
    store, unreadable_lease, monkeypatch
):
    store._observer, slept = LeaseObserver(clock := Clock()), []

    def sleep(seconds):
        slept.append(seconds)
        clock.now += 50.0

    monkeypatch.setattr(work_queue.time, "sleep", sleep)
    span = SpanQueue(store, [SMALL_KEY], 6).next(wait=True)
    assert span is not None and len(slept) == 3, "after 150 s, more than STALE_SECONDS"
    assert [path.name for path in unreadable_lease.parent.iterdir()] == [unreadable_lease.name]


def test_an_unreadable_lease_that_is_renewed_is_waited_for(store, unreadable_lease, monkeypatch):
    """Its owner renews it every STALE_SECONDS and stores its shard after an hour."""
    store._observer, beats = LeaseObserver(clock := Clock()), iter(range(1, 10**6))

    def sleep(_):
        clock.now += STALE_SECONDS
        os.utime(unreadable_lease, (0, next(beats)))
        if clock.now >= 3600:
            FeatureStore(store.root).write(SMALL_KEY, 0, shard(seed=7))
            unreadable_lease.unlink()

    monkeypatch.setattr(work_queue.time, "sleep", sleep)
    assert SpanQueue(store, [SMALL_KEY], 6).next(wait=True) is None
    np.testing.assert_array_equal(store.read(SMALL_KEY).rows, shard(seed=7).rows)


def test_a_stale_lease_that_cannot_be_removed_is_an_error(store, unreadable_lease, monkeypatch):
    """A folder whose sticky bit keeps others from removing the file."""
    store._observer = LeaseObserver(clock := Clock())

    def sleep(_):
        clock.now += 50.0

    def rename(self, target):
        raise PermissionError(1, "Operation not permitted", str(self))

    monkeypatch.setattr(work_queue.time, "sleep", sleep)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(
        StoreError, match=r"cannot be removed \(Operation not permitted\); remove it"
    ):
        SpanQueue(store, [SMALL_KEY], 6).next(wait=True)
    assert clock.now <= STALE_SECONDS + 50.0


def test_a_half_written_lease_is_a_lease(store):
    path = lease_file(store, 0)
    for half in ("", '{"machine"', "[1]"):
        path.write_text(half)
        assert not LeaseObserver().is_stale(path) and LeaseObserver().acquire(path) is None


def test_a_lease_that_was_taken_over_is_neither_renewed_nor_released_by_its_first_owner(store):
    path = lease_file(store, 0)
    first = LeaseObserver().acquire(path)
    assert first is not None
    path.write_text(json.dumps(ELSEWHERE))
    first.renew()
    first.release()
    assert json.loads(path.read_text()) == ELSEWHERE


def test_renewing_a_lease_changes_its_bytes_in_place(store):
    """Written in place, so that a full disk cannot leave it truncated."""
    lease = LeaseObserver().acquire(lease_file(store, 0))
    assert lease is not None
    before = lease.path.read_bytes()
    for _ in range(11):
        leases._HEARTBEAT.renew_all()
    after = lease.path.read_bytes()
    assert after != before and len(after) == len(before)
    lease.release()
    leases._HEARTBEAT.renew_all()
    assert not lease.path.exists()


def test_one_of_many_observers_takes_over_a_stale_lease(store):
    """Eight observers find the same stale lease at once, a hundred times."""
    path = lease_file(store, 0)
    for _ in range(100):
        path.write_text(json.dumps({**this_process(), "nonce": "x", "born": 1.0}))
        acquired, barrier = [], threading.Barrier(8)

        def acquire(acquired=acquired, barrier=barrier):
            observer = LeaseObserver()
            barrier.wait()
            acquired.append(observer.acquire(path))

        threads = [threading.Thread(target=acquire) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        owners = [lease for lease in acquired if lease]
        assert owners, "at least one observer must take the lease over"
        assert [entry.name for entry in path.parent.iterdir()] == [path.name], (
            "no other file is left"
        )
        assert sum(lease._is_valid() for lease in owners) == 1
        for lease in owners:
            lease.release()


PROGRAM = """
import sys
import dataclasses
from pathlib import Path
from bob.extraction.work_queue import SpanQueue
from bob.features.store import FeatureStore
from bob.io.processes import this_process
from tests.builders.features import KEY, shard
store, count, dies = FeatureStore(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3] == "dies"
key = dataclasses.replace(KEY, count=count)
queue = SpanQueue(store, [key], count)
print("ready", flush=True)
sys.stdin.readline()
while span := queue.next(wait=True):
    print(span.number, flush=True)
    if dies:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    for number in span.missing[key]:
        store.write(key, number, shard(seed=number))
    queue.finish(span)
"""


def test_four_processes_compute_each_span_once_though_one_is_killed_within_a_span(store):
    """Another process computes the killed one's span: 40 spans, 41 beginnings."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    spans = 40
    key = dataclasses.replace(KEY, count=spans * SPAN_IMAGES)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(store.root), str(key.count), end],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for end in ("dies", "lives", "lives", "lives")
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    begun = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [-9, 0, 0, 0]
    lost = begun[0]
    assert len(lost) == 1
    assert sorted(int(number) for numbers in begun for number in numbers) == sorted(
        [*range(spans), int(lost[0])]
    )
    assert store.missing(key) == []
    expected = np.concatenate([shard(seed=number).rows for number in range(spans)])
    np.testing.assert_array_equal(store.read(key).rows, expected)


def test_leases_of_ended_processes_are_removed_and_those_of_living_ones_stay(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "a.lease").write_text(json.dumps({**this_process(), "pid": ended.pid, "born": 1.0}))
    lease = LeaseObserver().acquire(tmp_path / "b.lease")
    LeaseObserver().remove_stale(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b.lease"]
    lease.release()
    LeaseObserver().remove_stale(tmp_path / "nowhere")
