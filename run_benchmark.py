"""Which pretrained vision backbone should I use?

`python run_benchmark.py --backbones all --tasks linear,knn`
"""

import sys

from bob.cli import run_benchmark

if __name__ == "__main__":
    sys.exit(run_benchmark())
