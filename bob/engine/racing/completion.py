"""Features of full splits made of the blocks of a race, so that no image is embedded twice.

Features can depend on the composition of a batch in their last bits, and the numbers of survivors
must be those of an ordinary run. A sample of images is therefore embedded as an ordinary run does,
and the blocks become a full split only where they have the sample's bits.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from bob.engine.racing.blocks import RaceBlocks
from bob.errors import StoreError
from bob.features.shard import Shard, round_to
from bob.features.store import Features
from bob.numerics.arrays import Ints
from bob.plan import Pass
from bob.specs import BackboneSpec


def completing_passes(
    blocks: RaceBlocks, counts: Mapping[str, int], specs: Mapping[str, BackboneSpec]
) -> Iterator[Pass]:
    """Yield the passes over the rest of the images, and over the sample, that are missing.

    counts: split → number of all its images.
    """
    yield from blocks.passes(counts, specs)
    for split in counts:
        lacking = {name: spec for name, spec in specs.items() if not blocks.is_full(spec, split)}
        yield from blocks.passes_over(blocks.sample(split), lacking)


def complete(blocks: RaceBlocks, counts: Mapping[str, int], spec: BackboneSpec) -> bool:
    """Store the features of full splits; False where their bits are not those of the sample.

    Blocks of completed splits are removed. A backbone that failed has no features to store.
    """
    for split, count in counts.items():
        if blocks.is_full(spec, split):
            continue
        try:
            features = blocks.features(spec, split, count)
            sample = blocks.read(spec, blocks.sample(split))
        except StoreError:
            return True  # the ordinary run says why
        order = blocks.order(split, count)
        if not _has_sample(features.view(np.argsort(order)), sample):
            return False
        _store(blocks, spec, split, features, order)
    return True


def _has_sample(features: Features, sample: Features) -> bool:
    """Whether the first images, in the order of the split, have the sample's rows to the bit."""
    same = features.positions[: len(sample)].tolist() == sample.positions.tolist()
    return same and features.rows[: len(sample)].tobytes() == sample.rows.tobytes()


def _store(
    blocks: RaceBlocks,
    spec: BackboneSpec,
    split: str,
    features: Features,
    order: Ints,
) -> None:
    """Write the shards of a full split from features in a race's order (N,) of positions."""
    key = blocks.full_key(spec, split)
    positions = order[features.positions]
    in_order = np.argsort(positions)
    positions, bad = positions[in_order], {int(order[at]): why for at, why in features.bad.items()}
    for number in range(len(key.sharding)):
        images = key.sharding.positions(number)
        first, end = np.searchsorted(positions, [images.start, images.stop])
        rows = round_to(features.rows[in_order[first:end]], key.stored)
        unreadable = {str(at): why for at, why in bad.items() if at in images}
        effort = features.effort.share(int(end - first))
        shard = Shard.of_rows(rows, positions[first:end], unreadable, effort)
        blocks.store.write(key, number, shard)
    blocks.forget(spec, split)
