"""The notebook runs from top to bottom, on a few images."""

import json
import os
from pathlib import Path

from bob.io.paths import CHECKOUT
from tests.builders.fresh_process import run_python

NOTEBOOK = CHECKOUT / "docs" / "notebooks" / "first_answer.ipynb"
LIMIT = "LIMIT = 200"
CACHE = 'folder / "cache"'


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_runs(tmp_path: Path, shared_cache: Path) -> None:
    """Its own cache would measure four backbones again, which other tests have measured."""
    program = "\n\n".join(code_cells())
    assert LIMIT in program and CACHE in program
    program = program.replace(LIMIT, "LIMIT = 16").replace(CACHE, repr(str(shared_cache)))
    environment = {
        **os.environ,
        "BOB_CACHE": str(shared_cache),
        "MPLBACKEND": "agg",
        "TMPDIR": str(tmp_path),
    }
    done = run_python(["-c", program], environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "of 16 images" in done.stdout


def test_the_stored_outputs_are_those_of_a_run_without_errors() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert outputs
    assert all(output["output_type"] != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)
