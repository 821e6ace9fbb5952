"""Scripts in fresh processes whose Hugging Face libraries use another hub."""

import os
import subprocess
import sys
from pathlib import Path

from bob.io.paths import CHECKOUT


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
        "PYTHONPATH": str(CHECKOUT),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, **settings, **environment},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
