"""Rules of the code base: layers, light imports, the README's commands, a complete wheel."""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

from bob.cli import main
from bob.errors import OK
from tests.builders.layers import LAYER_OF, PACKAGE, ROOT, imported_rooms, picture, room_of
from tests.builders.photos import make_photos


def test_every_folder_has_its_layer():
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    assert rooms == set(LAYER_OF)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_imports_point_one_way(path):
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    others = imported_rooms(path) - {room, "__version__"}
    wrong = [other for other in others if LAYER_OF[other] >= LAYER_OF[room]]
    assert not wrong, f"{room} must not import {wrong}"


def test_the_picture_shows_the_layers():
    """`python -m tests.builders.layers` draws it again."""
    assert (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8") == picture()


def test_class_names_have_one_meaning():
    places: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


@pytest.mark.parametrize(
    "module",
    [
        "bob",
        "bob.cli",
        "bob.registry",
        "bob.commands.list",
        "bob.leaderboards",
        "bob.commands.datasets",
    ],
)
def test_light_modules_load_neither_torch_nor_ray(module):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"torch", "ray"}.isdisjoint(done.stdout.split())


def test_nothing_is_pickled():
    """Files that others may have written are read as data only.

    `plain_pickle` refuses every name but those of numpy's arrays.
    """
    for path in (ROOT / "bob").rglob("*.py"):
        text = (
            path.read_text().replace("import pickle", "")
            if path.stem == "plain_pickle"
            else path.read_text()
        )
        assert not re.search(
            r"import pickle|allow_pickle=True|weights_only=False|joblib\.load"
            r"|\beval\(|\bexec\(|yaml\.unsafe",
            text.replace(".eval()", ""),
        ), path


def test_run_benchmark_is_the_command():
    script, command = (
        [*words, "--help"]
        for words in (
            [sys.executable, str(ROOT / "run_benchmark.py")],
            [sys.executable, "-m", "bob", "run"],
        )
    )
    done = [
        subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for words in (script, command)
    ]
    assert done[0] == done[1] and "--backbones" in done[0]


def test_the_wheel_carries_the_registries(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("bob_bench-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert "bob-bench = bob.cli:main" in archive.read(entry).decode()
        archive.extractall(tmp_path / "installed")
    tasks = {f"bob/shipped/tasks/{path.name}" for path in (ROOT / "tasks").glob("*.yaml")}
    templates = {"bob/leaderboards/page/template.html", "bob/pictures/page.html"}
    assert {"bob/shipped/backbones.yaml"} | templates | tasks <= set(names)
    program = (
        "from bob.registry import load_registry; r = load_registry(); "
        "print(len(r.backbones), len(r.tasks), len(r.datasets))"
    )
    installed, checkout = (
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            env={"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for folder in (tmp_path / "installed", ROOT)
    )
    assert installed == checkout


# --- the README


def readme_commands() -> list[str]:
    blocks = re.findall(
        r"```(?:sh|bash)\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL
    )
    return [
        re.split(r"\s+#", line)[0].strip()
        for block in blocks
        for line in block.splitlines()
        if line.strip() and not line.startswith("#")
    ]


def test_the_readme_is_short_and_has_commands():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert "make demo" in readme_commands()
    assert "`make test`" in text


UNTUNED = ["--runtime", "eager", "--batch-size", "4"]
"""Options of runs that do not measure which runtime is the fastest."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the cache that the README's commands share, as a user's is."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: str) -> Path:
    """Return a folder with `photos/`, the examples of the docs and one finished run."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(ROOT / "docs" / "examples", folder, dirs_exist_ok=True)
    make_photos(folder / "photos", per_class=8)
    words = "--data photos --backbones raw_pixels,efficientnet_lite0_in1k --tasks knn"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BOB_CACHE", cache)
        assert main(["run", *words.split(), *UNTUNED]) == OK
    return folder


@pytest.mark.parametrize(
    "command",
    [
        line
        for line in readme_commands()
        if line.startswith(("python run_benchmark.py", "bob-bench"))
    ],
)
def test_the_readme_s_commands_run(command, tmp_path, finished, cache, monkeypatch, capfd):
    """Every command as it stands, in a copy of the folder `finished`.

    Runs see a few images of each dataset.
    """
    monkeypatch.chdir(shutil.copytree(finished, tmp_path, dirs_exist_ok=True))
    monkeypatch.setenv("BOB_CACHE", cache)
    main(["list", "records", "--json"])
    key = json.loads(capfd.readouterr().out)[0]["key"]
    words = shlex.split(
        command.replace("KEY", key).replace("python run_benchmark.py", "bob-bench run")
    )[1:]
    quick = ["--limit", "8", *UNTUNED, "--offline"] if words[0] == "run" else []
    if words[0] == "run" and "--backbones" not in words:
        quick += ["--max-params", "1M"]  # every task, with the baselines alone
    assert main([*words, *quick]) == OK


def test_the_makefile_and_ci_say_what_the_readme_says():
    assert re.search(
        r"^demo:.*\n\t.*run_benchmark.py", (ROOT / "Makefile").read_text(), flags=re.MULTILINE
    )
    assert (
        "make test" in (ROOT / ".ci" / "run").read_text()
        and "make lint" in (ROOT / ".ci" / "run").read_text()
    )
