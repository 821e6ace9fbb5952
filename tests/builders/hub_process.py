"""Entries of a loopback hub, and scripts in fresh processes that use it."""

import os
from pathlib import Path
from typing import Any

from tests.builders.fresh_process import run_python
from tests.builders.loopback_hub import COMMIT


def huggingface_source(hub: str, **changes: Any) -> dict[str, Any]:
    """Return the source of a dataset at the loopback hub's commit, as an entry writes it."""
    return {
        "reader": "huggingface",
        "hub": hub,
        "revision": COMMIT,
        "image": "image",
        "label": "label",
        "splits": {"train": "train"},
        **changes,
    }


def run_with_hub(
    script: str, address: str, home: Path, *arguments: str, text: str = "", **environment: str
) -> list[str]:
    """Run a Python script and return the lines that it prints.

    The libraries read the address of the hub and their cache folder on import, so a test cannot
    change them in its own process. `text` is the script's standard input.
    """
    settings = {
        "HF_ENDPOINT": address,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
    }
    everything = {**os.environ, **settings, **environment}
    done = run_python(["-c", script, *arguments], everything, text=text)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
