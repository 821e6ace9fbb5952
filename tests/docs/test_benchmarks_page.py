"""The page of benchmarks is what the recorded runs printed."""

import runpy
from pathlib import Path

REPORT = runpy.run_path("benchmarks/report.py")
RUN = {
    "command": "knn.py --quick",
    "date": "2026-01-02",
    "processor": "a processor",
    "cores": 2,
    "threads": 1,
    "seconds": 12.3,
    "processor_seconds": 11.8,
    "cores_taken_by_others": 0.4,
    "printed": ["ours: 1.0 s", '{"ours": 1.0}'],
}


def test_the_page_is_that_of_the_recorded_runs() -> None:
    """`python benchmarks/report.py` writes it."""
    text = Path("benchmarks/README.md").read_text(encoding="utf-8")
    assert text == REPORT["page"](REPORT["recorded_runs"]())


def test_a_run_is_shown_as_it_was_printed_and_marked_where_others_were_busy() -> None:
    text = REPORT["page"]([RUN])
    assert "| 2026-01-02 | a processor, 2 cores | 1 | 12 | 12 | 0.40 (disturbed) |" in text
    assert "```text\nours: 1.0 s\n```" in text and '{"ours"' not in text
    quiet = REPORT["page"]([{**RUN, "cores_taken_by_others": 0.1}])
    assert "| 12 | 12 | 0.10 |" in quiet
