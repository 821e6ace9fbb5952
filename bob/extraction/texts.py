"""Texts through a backbone's text tower into the feature store, in shards like images."""

import time
from collections.abc import Sequence

import numpy as np

from bob.backbones.backbone import Backbone
from bob.extraction.work_queue import SpanQueue
from bob.features.key import FeatureKey
from bob.features.shard import Effort, Shard
from bob.features.store import FeatureStore

BATCH = 64
"""Texts per forward pass."""


def store_texts(
    store: FeatureStore, key: FeatureKey, backbone: Backbone, texts: Sequence[str]
) -> None:
    """Compute and store the missing shards of the embeddings of texts."""
    queue = SpanQueue(store, [key], len(texts))
    try:
        while span := queue.next(wait=True):
            for number in span.missing[key]:
                store.write(key, number, _shard(backbone, texts, key.sharding.positions(number)))
            queue.finish(span)
    finally:
        queue.close()


def _shard(backbone: Backbone, texts: Sequence[str], positions: range) -> Shard:
    start = time.perf_counter()
    batches = [
        backbone.embed_texts(texts[first : min(first + BATCH, positions.stop)])
        for first in range(positions.start, positions.stop, BATCH)
    ]
    effort = Effort(
        forward_seconds=time.perf_counter() - start, device=str(backbone.device), batch_size=BATCH
    )
    at = np.arange(positions.start, positions.stop)
    return Shard.of_rows(np.concatenate(batches), at, effort=effort)
