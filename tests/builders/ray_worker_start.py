"""Starts a worker of a fake Ray node, by asking the process of the test to fork it.

Ray runs this instead of its own `setup_worker.py`, with the same arguments; see `ray_nodes`.
"""

import os
import sys
from multiprocessing.connection import Client
from pathlib import Path

OF_SETUP = ("--serialized-runtime-env-context", "--language")
"""Arguments for `setup_worker.py` itself."""


if __name__ == "__main__":
    _, *arguments = [word for word in sys.argv[1:] if not word.startswith(OF_SETUP)]
    with Client(os.environ["WORKER_SOCKET"]) as connection:
        connection.send((arguments, {**os.environ}, Path.cwd()))
