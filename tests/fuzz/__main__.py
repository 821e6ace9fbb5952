"""`python -m tests.fuzz`: as many inputs as wanted for every target, with totals and faults."""

import argparse
import os
import sys

from tests.fuzz.runner import run_target
from tests.fuzz.targets import TARGETS

SHOWN_FAULTS = 5


def main() -> int:
    """Try inputs of every target, print totals and faults, and return 1 where there are faults."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--targets", default=",".join(TARGETS), help="names, separated by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=500, help="inputs of each target")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    failed = 0
    for target in options.targets.split(","):
        totals = run_target(
            target, options.seed, range(options.first, options.first + options.count)
        )
        failed += len(totals.faults)
        sys.stdout.write(
            f"{target}: {totals.inputs:,} inputs of seed {options.seed}, {totals.accepted:,} "
            f"accepted, {len(totals.faults)} faults, {totals.cpu_seconds:.1f} s of processor time\n"
        )
        sys.stdout.writelines(f"{fault}\n" for fault in totals.faults[:SHOWN_FAULTS])
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
