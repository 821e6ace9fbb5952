"""`python counted_run.py WORDS...`: a run that prints, last of all, the shards of features that it wrote, one a line: key and number."""

import sys

from bob.cli import main
from bob.features.key import FeatureKey
from bob.features.store import FeatureStore, Shard

written: list[str] = []
write = FeatureStore.write


def counted(store: FeatureStore, key: FeatureKey, number: int, shard: Shard) -> None:
    write(store, key, number, shard)
    written.append(f"{key.digest()} {number}")


if __name__ == "__main__":
    FeatureStore.write = counted  # type: ignore[method-assign]
    told, sys.stdout = sys.stdout, sys.stderr
    code = main(sys.argv[1:])
    told.write("\n".join(written))
    told.flush()
    sys.exit(code)
