"""`python -m bob` is `bob-bench`."""

import sys

from bob.cli import main

if __name__ == "__main__":
    sys.exit(main())
