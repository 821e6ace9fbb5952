"""Backbones stay loaded across passes, as far as memory allows."""

from collections.abc import Callable

import pytest

from bob.engine import embedders
from bob.engine.embedders import COPIES, MEMORY_SHARE, EmbedderCache, needed_mib
from bob.extraction.embedder import Embedder


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> EmbedderCache:
    """A cache on a machine with 10,000 MiB, of which each loaded backbone takes its weights."""
    cache = EmbedderCache("cpu")
    taken = cache._embedders.values
    monkeypatch.setattr(
        embedders, "free_mib", lambda device: 10_000 - sum(mib for _, mib in taken())
    )
    return cache


def make() -> Embedder:
    return Embedder([])


def load(cache: EmbedderCache, name: str, mib: float, keep: set[str]) -> Embedder:
    """Load a backbone as a worker does."""

    def when_absent() -> Embedder:
        cache.make_room(needed_mib(mib), keep)
        return make()

    return cache.get(name, mib, when_absent)


def test_an_embedder_is_made_once(cache: EmbedderCache) -> None:
    first = load(cache, "a", 10, {"a"})
    refuse: Callable[[], Embedder] = pytest.fail
    assert cache.get("a", 10, refuse) is first and cache.loaded("a") is first
    cache.drop("a")
    assert cache.loaded("a") is None and load(cache, "a", 10, {"a"}) is not first


def test_the_one_used_longest_ago_leaves_first(cache: EmbedderCache) -> None:
    """1,000 MiB of weights count twice; 0.6 of what is free has to hold the next one."""
    for name in ("a", "b", "c"):
        load(cache, name, 1_000, set())
    load(cache, "a", 1_000, set())
    assert needed_mib(1_000) > MEMORY_SHARE * (10_000 - 3 * COPIES * 1_000)
    load(cache, "d", 1_000, {"d"})
    assert [cache.loaded(name) is not None for name in "abcd"] == [True, False, True, True]


def test_backbones_of_the_same_pass_do_not_leave(cache: EmbedderCache) -> None:
    together = {"a", "b", "c", "d"}
    for name in "abcd":
        load(cache, name, 1_000, together)
    assert all(cache.loaded(name) for name in together)


def test_loaded_backbones_count_as_available(cache: EmbedderCache) -> None:
    before = cache.available_mib()
    load(cache, "a", 1_000, set())
    assert cache.available_mib() == before == MEMORY_SHARE * 10_000
