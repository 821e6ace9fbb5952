"""The examples for clusters: their syntax, their commands, and that none is open to everyone."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bob.cli.parser import build_parser
from bob.io.paths import CHECKOUT

EXAMPLES = CHECKOUT / "docs" / "examples" / "cluster"
SCRIPTS = sorted(EXAMPLES.glob("*.sbatch"))
RAY = sorted(path for path in EXAMPLES.iterdir() if path.name != "array.sbatch")


def bob_commands(text: str) -> list[list[str]]:
    """Return the arguments of the commands in a text, with lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line for line in joined.splitlines() if not line.lstrip().startswith("#")]
    starts = [line[line.index("bob-bench ") :] for line in lines if "bob-bench run" in line]
    return [shlex.split(start)[1:] for start in starts]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_bash_with_known_directives(path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(path)]).returncode == 0
    text = path.read_text()
    assert text.startswith("#!/bin/bash\n") and "set -euo pipefail" in text
    directives = re.findall(r"^#SBATCH --([a-z-]+)", text, flags=re.MULTILINE)
    known = "job-name array gres cpus-per-task mem time requeue nodes ntasks-per-node gpus-per-node"
    assert directives and set(directives) <= {*known.split(), "exclusive"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_commands_of_scripts_parse(path: Path) -> None:
    (words,) = bob_commands(path.read_text())
    assert not build_parser().parse_known_args(words)[1]


def test_the_ray_job_is_a_cluster_of_its_own() -> None:
    job = yaml.safe_load((EXAMPLES / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[0] == "bob-bench" and not build_parser().parse_known_args(words[1:])[1]
    cluster = spec["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod: dict[str, Any] = group["template"]["spec"]
        (container,) = pod["containers"]
        names = {variable["name"] for variable in container["env"]}
        assert {"RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED", "HF_HOME"} <= names
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            volume["name"] for volume in pod["volumes"]
        }
        assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys()


def test_the_cloud_example_names_its_node_types() -> None:
    cluster = yaml.safe_load((EXAMPLES / "ray_up.yaml").read_text())
    assert cluster["head_node_type"] in cluster["available_node_types"]
    assert cluster["max_workers"] >= cluster["available_node_types"]["gpu"]["max_workers"]
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        start = next(command for command in commands if "ray start" in command)
        assert "--disable-usage-stats" in start


@pytest.mark.parametrize("path", RAY, ids=lambda path: path.name)
def test_clusters_need_a_token_and_send_nothing(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"RAY_AUTH_MODE(=token|, value: token)", text)
    assert "RAY_USAGE_STATS_REPORT_URL" in text and "127.0.0.1:9" in text


def test_the_guide_names_every_example() -> None:
    guide = (CHECKOUT / "docs" / "how_to" / "clusters.md").read_text()
    for path in EXAMPLES.iterdir():
        assert f"../examples/cluster/{path.name}" in guide
