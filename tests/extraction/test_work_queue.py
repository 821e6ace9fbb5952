"""Shards handed out among processes and hosts: each is computed once, none is lost with a host, and no clock is trusted."""

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

from bob.extraction import work_queue as share
from bob.extraction.work_queue import Jobs
from bob.features import leases as claims
from bob.features.leases import DEAD_SECONDS, Watch, this_process
from bob.features.store import SHARD_ROWS, FeatureStore
from tests.builders.features import KEY, shard

OTHER = dataclasses.replace(KEY, weights_hash="other")
N = 3 * SHARD_ROWS
ELSEWHERE = {"machine": "another host", "pid": 1, "born": 0.0, "nonce": "theirs", "beats": 0}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


def claim_file(store: FeatureStore, number: int) -> Path:
    path = store.folder(KEY) / f"{number:06d}.claim"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_two_takers_share_the_shards_and_none_is_given_twice(store):
    ours, theirs = Jobs(store, [KEY], N), Jobs(FeatureStore(store.root), [KEY], N)
    taken = [
        ours.next(wait=False),
        theirs.next(wait=False),
        ours.next(wait=False),
        theirs.next(wait=False),
    ]
    assert [job and job.number for job in taken] == [0, 1, 2, None]


def test_a_shard_is_given_for_the_keys_that_lack_it(store):
    store.write(OTHER, 0, shard())
    jobs = Jobs(store, [KEY, OTHER], N)
    assert [set(job.claims) for job in (jobs.next(wait=False), jobs.next(wait=False))] == [
        {KEY},
        {KEY, OTHER},
    ]


def test_what_another_stored_meanwhile_is_not_given_and_is_counted(store):
    counted: list[int] = []
    jobs = Jobs(store, [KEY], N, done=counted.append)
    store.write(KEY, 0, shard())
    assert jobs.next(wait=False).number == 1
    assert counted == [SHARD_ROWS]


def test_who_waits_gets_what_the_other_gives_up(store, monkeypatch):
    theirs, ours, told = (
        Jobs(FeatureStore(store.root), [KEY], SHARD_ROWS),
        Jobs(store, [KEY], SHARD_ROWS, on_wait=lambda: told.append(1)),
        [],
    )
    theirs.next(wait=False)
    monkeypatch.setattr(share.time, "sleep", lambda _: theirs.close())
    assert ours.next(wait=True).number == 0 and told == [1]


def test_who_waits_ends_when_the_other_has_stored_the_last(store, monkeypatch):
    other = FeatureStore(store.root)
    theirs, ours = Jobs(other, [KEY], SHARD_ROWS), Jobs(store, [KEY], SHARD_ROWS)
    job = theirs.next(wait=False)

    def finish(_):
        other.write(KEY, 0, shard())
        theirs.finish(job)

    monkeypatch.setattr(share.time, "sleep", finish)
    assert ours.next(wait=True) is None


def test_dropped_keys_are_given_no_more(store):
    jobs = Jobs(store, [KEY, OTHER], N)
    jobs.drop([OTHER])
    assert set(jobs.next(wait=False).claims) == {KEY}
    jobs.drop([KEY])
    assert jobs.next(wait=True) is None


def test_a_host_lost_in_mid_shard_is_known_by_its_silence_on_our_own_clock(store):
    """Its claim lies there with a time far in the future, which means nothing: its bytes have to stay the same for DEAD_SECONDS as we count."""
    path, watch = claim_file(store, 0), Watch(clock := Clock())
    path.write_text(json.dumps(ELSEWHERE))
    os.utime(path, (4e9, 4e9))
    assert not watch.is_dead(path)
    clock.now = DEAD_SECONDS
    assert not watch.is_dead(path) and watch.take(path) is None
    clock.now = DEAD_SECONDS + 1
    assert watch.is_dead(path)
    taken = watch.take(path)
    assert taken is not None and json.loads(path.read_text())["nonce"] == taken.about["nonce"]
    taken.release()
    assert not list(path.parent.iterdir())


def test_a_host_with_a_wrong_clock_that_lives_keeps_its_claim(store):
    path, watch = claim_file(store, 0), Watch(clock := Clock())
    for beat in range(5):
        path.write_text(json.dumps(ELSEWHERE | {"beats": beat}))
        os.utime(path, (0, 0))
        clock.now += DEAD_SECONDS
        assert not watch.is_dead(path)


def test_a_machine_s_clock_that_is_set_leaves_its_claims(store, monkeypatch):
    """psutil reckons a process' birth from the time of day: an hour later, and it seems another process."""
    path = claim_file(store, 0)
    path.write_text(json.dumps({**this_process(), "nonce": "x"}))
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: real(process) + 3600)
    assert not Watch().is_dead(path)


def test_who_waits_for_a_lost_host_computes_its_shard_when_it_is_known_dead_and_not_before(
    store, monkeypatch
):
    """The lost host holds shard 1 of 3. Time passes in the waiting alone."""
    claim_file(store, 1).write_text(json.dumps(ELSEWHERE))
    store._watch, slept = Watch(clock := Clock()), []
    jobs = Jobs(store, [KEY], N)

    def sleep(seconds):
        slept.append(seconds)
        clock.now += 50.0

    monkeypatch.setattr(share.time, "sleep", sleep)
    given = []
    while job := jobs.next(wait=True):
        given.append((job.number, len(slept)))
        store.write(KEY, job.number, shard(seed=job.number))
        jobs.finish(job)
    assert given == [(0, 0), (2, 0), (1, 3)], (
        "50 s and 100 s are no more than DEAD_SECONDS, 150 s are"
    )


def test_a_slow_host_s_shard_is_waited_for_however_long_it_takes(store, monkeypatch):
    """It beats between our looks, and stores its shard after an hour: nothing is left for us, and what we read is its rows."""
    path = claim_file(store, 0)
    path.write_text(json.dumps(ELSEWHERE))
    store._watch, beats = Watch(clock := Clock()), iter(range(1, 10**6))

    def sleep(_):
        clock.now += DEAD_SECONDS
        path.write_text(json.dumps(ELSEWHERE | {"beats": next(beats)}))
        if clock.now >= 3600:
            FeatureStore(store.root).write(KEY, 0, shard(seed=7))
            path.unlink()

    monkeypatch.setattr(share.time, "sleep", sleep)
    assert Jobs(store, [KEY], 6).next(wait=True) is None
    np.testing.assert_array_equal(store.read(KEY, 6).rows, shard(seed=7).rows)


@pytest.mark.parametrize("wrong", ["pid", "born"])
def test_a_process_of_this_machine_that_is_gone_is_known_at_once(store, wrong):
    """Either nobody has its number, or somebody who was born at another time."""
    gone = {"pid": psutil.pids()[-1] + 10**6} if wrong == "pid" else {"born": 1.0}
    path = claim_file(store, 0)
    path.write_text(json.dumps({**this_process(), "nonce": "x", **gone}))
    assert Watch().is_dead(path)
    path.write_text(json.dumps({**this_process(), "nonce": "x"}))
    assert not Watch().is_dead(path)


def test_a_claim_half_written_is_a_claim(store):
    path = claim_file(store, 0)
    for half in ("", '{"machine"', "[1]"):
        path.write_text(half)
        assert not Watch().is_dead(path) and Watch().take(path) is None


def test_a_taken_over_claim_is_neither_beaten_nor_released_by_its_first_owner(store):
    path = claim_file(store, 0)
    first = Watch().take(path)
    assert first is not None
    path.write_text(json.dumps(ELSEWHERE))
    first.beat()
    first.release()
    assert json.loads(path.read_text()) == ELSEWHERE


def test_a_beat_changes_the_bytes(store):
    claim = Watch().take(claim_file(store, 0))
    before = claim.path.read_bytes()
    for _ in range(11):
        claims._BEATING.beat()
    after = claim.path.read_bytes()
    assert after != before and len(after) == len(before), (
        "written in place, so that a full disk cannot leave it cut off"
    )
    claim.release()
    claims._BEATING.beat()
    assert not claim.path.exists()


def test_one_of_many_takers_takes_over(store):
    """Eight observers find the same dead claim at once, a hundred times."""
    path = claim_file(store, 0)
    for _ in range(100):
        path.write_text(json.dumps({**this_process(), "nonce": "x", "born": 1.0}))
        taken, barrier = [], threading.Barrier(8)

        def take(taken=taken, barrier=barrier):
            watch = Watch()
            barrier.wait()
            taken.append(watch.take(path))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        owners = [claim for claim in taken if claim]
        assert owners, "somebody must go on"
        assert [entry.name for entry in path.parent.iterdir()] == [path.name], (
            "nothing is left beside the claim"
        )
        assert sum(claim._is_ours() for claim in owners) == 1
        for claim in owners:
            claim.release()


PROGRAM = """
import sys
import numpy as np
from pathlib import Path
from bob.extraction.work_queue import Jobs
from bob.features.store import FeatureStore, SHARD_ROWS
from tests.builders.features import KEY, shard
store, n, dies = FeatureStore(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3] == "dies"
jobs = Jobs(store, [KEY], n)
print("ready", flush=True)
sys.stdin.readline()
while job := jobs.next(wait=True):
    print(job.number, flush=True)
    if dies:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    store.write(KEY, job.number, shard(seed=job.number))
    jobs.finish(job)
"""


def test_four_processes_compute_each_shard_once_though_one_is_killed_in_the_middle_of_one(store):
    """The killed one's shard is computed by another: 40 shards, 41 beginnings."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    count = 40
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(store.root), str(count * SHARD_ROWS), ends],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for ends in ("dies", "lives", "lives", "lives")
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
    assert len(lost) == 1 and sorted(int(number) for some in begun for number in some) == sorted(
        [*range(count), int(lost[0])]
    )
    assert store.missing(KEY, count * SHARD_ROWS) == []
    expected = np.concatenate([shard(seed=number).rows for number in range(count)])
    np.testing.assert_array_equal(store.read(KEY, count * SHARD_ROWS).rows, expected)
