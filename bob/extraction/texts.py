"""Sentences through a backbone's text tower into the feature store, as images are: whole shards, one row per sentence."""

import time
from collections.abc import Sequence

import numpy as np

from bob.backbones.backbone import Backbone
from bob.extraction.work_queue import Jobs
from bob.features.key import FeatureKey
from bob.features.store import Effort, FeatureStore, Shard, shard_range

BATCH = 64
"""Sentences per forward."""


def store_texts(
    store: FeatureStore, key: FeatureKey, backbone: Backbone, texts: Sequence[str]
) -> None:
    """Stores the missing shards."""
    jobs = Jobs(store, [key], len(texts))
    try:
        while job := jobs.next(wait=True):
            at = shard_range(job.number, len(texts))
            start = time.perf_counter()
            rows = np.concatenate(
                [
                    backbone.embed_texts(texts[i : min(i + BATCH, at.stop)])
                    for i in range(at.start, at.stop, BATCH)
                ]
            )
            effort = Effort(
                forward_seconds=time.perf_counter() - start,
                device=str(backbone.device),
                batch_size=BATCH,
            )
            store.write(key, job.number, Shard(rows, np.arange(at.start, at.stop), effort=effort))
            jobs.finish(job)
    finally:
        jobs.close()
