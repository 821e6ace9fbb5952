"""Run the command line and print which shards of features it wrote.

`python counted_run.py WORDS...` prints one line per shard, key and number, after the run.
"""

import sys
from unittest.mock import patch

from bob.cli import main
from bob.features.key import StoreKey
from bob.features.shard import Shard
from bob.features.store import FeatureStore

written: list[str] = []
write = FeatureStore.write


def counted_write(store: FeatureStore, key: StoreKey, number: int, shard: Shard) -> None:
    """Store a shard and note its key and number."""
    write(store, key, number, shard)
    written.append(f"{key.digest()} {number}")


if __name__ == "__main__":
    output, sys.stdout = sys.stdout, sys.stderr
    with patch.object(FeatureStore, "write", counted_write):
        code = main(sys.argv[1:])
    output.write("\n".join(written))
    output.flush()
    sys.exit(code)
