"""The worst group of solar cells at fixed penalties of the linear probe, beside the chosen one.

    python benchmarks/group_penalties.py [--backbones LIST] [--dataset NAME] [--cache DIR]

Runs the task `groups`, and the same with a single C from 0.001 to 10. For each, a line has the
accuracy over all test images and that of the worst group (a class and a cell type) of every
backbone. The last line is JSON.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bob.cli import main as bob_bench
from bob.registry import load_registry
from bob.specs.yaml import plain

BACKBONES = (
    "efficientnet_lite0_in1k,efficientnet_lite1_in1k,efficientnet_lite2_in1k,resnet50thin_opennsfw"
)
LOG10_C = (-3.0, -2.0, -1.5, -1.0, 0.0, 1.0)
SHOWN = ("top1_all_images", "worst_group_top1")


def fixed_tasks() -> dict[str, str]:
    """Return task files (JSON is YAML) by name: `groups` at each fixed C."""
    task = plain(load_registry().tasks["groups"])
    keys = ("version", "protocol", "summary", "metrics", "datasets")
    shared = {key: task[key] for key in keys}
    return {
        f"groups_c{place}": json.dumps(
            shared | {"settings": task["settings"] | {"log10_c": [log10_c, log10_c, 1]}}
        )
        for place, log10_c in enumerate(LOG10_C)
    }


def scores(options: argparse.Namespace) -> Mapping[tuple[str, str, str], float]:
    """Run all tasks; return the scores shown by task, metric and backbone."""
    files = fixed_tasks()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / f"{name}.yaml").write_text(text)
        arguments = ["run", "--quiet", "--tasks-dir", folder, "--results", f"{folder}/results"]
        arguments += ["--tasks", ",".join(["groups", *files]), "--datasets", options.dataset]
        arguments += ["--backbones", options.backbones]
        if options.cache:
            arguments += ["--cache-dir", options.cache]
        if code := bob_bench(arguments):
            sys.exit(f"the command ended with {code}")
        with (Path(folder) / "results" / "leaderboard.csv").open(encoding="utf-8") as file:
            return {
                (row["task"], row["metric"], row["backbone"]): float(row["value"])
                for row in csv.DictReader(file)
                if row["metric"] in SHOWN
            }


def main() -> None:
    """Print a line for each penalty."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbones", default=BACKBONES)
    parser.add_argument("--dataset", default="elpv")
    parser.add_argument("--cache", help="folder of stored features (default: the user's)")
    options = parser.parse_args()
    found, backbones = scores(options), options.backbones.split(",")
    labels = [f"C = {10**log10_c:.3g}" for log10_c in LOG10_C]
    tasks = dict(zip(fixed_tasks(), labels, strict=True)) | {"groups": "C chosen"}
    for task, label in tasks.items():
        texts = (
            f"{metric} {' '.join(f'{found[task, metric, name]:.3f}' for name in backbones)}"
            for metric in SHOWN
        )
        print(f"{label:10}  {'   '.join(texts)}")
    print(json.dumps({f"{task}/{m}/{name}": v for (task, m, name), v in found.items()}))


if __name__ == "__main__":
    main()
