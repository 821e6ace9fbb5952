"""The notebook runs from top to bottom, on a few images."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bob.io.paths import CHECKOUT

NOTEBOOK = CHECKOUT / "docs" / "notebooks" / "first_answer.ipynb"
LIMIT = "LIMIT = 200"


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_runs(tmp_path: Path) -> None:
    program = "\n\n".join(code_cells())
    assert LIMIT in program
    environment = {
        **os.environ,
        "BOB_CACHE": str(tmp_path / "cache"),
        "MPLBACKEND": "agg",
        "PYTHONPATH": str(CHECKOUT),
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", program.replace(LIMIT, "LIMIT = 16")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "of 16 images" in done.stdout


def test_the_stored_outputs_are_those_of_a_run_without_errors() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert outputs
    assert all(output["output_type"] != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)
