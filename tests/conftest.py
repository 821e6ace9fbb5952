"""Shared fixtures: small folders of images, and the command line run in this process."""

import gc
import importlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.builders.photos import make_photos

os.environ.pop("COLUMNS", None)  # what tests capture is as wide as in any other pipe
os.environ["HF_HUB_OFFLINE"] = "1"  # before any library reads it: no test may reach for a hub


ROOT = Path(__file__).parents[1]
LONGEST = ("tests/engine/test_ray.py", "tests/test_architecture.py")
"""Modules with tests of many seconds."""


def pytest_collection(session: pytest.Session) -> None:
    """Let every second process compile the test modules from the last to the first.

    Two that collect at once then compile half of them each, and read the other half.
    """
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    modules = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py"))
    for module in reversed(modules) if int(number) % 2 else ():
        importlib.import_module(".".join(module.with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: at the end, one process would wait for another's."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what lives to the end: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def unflushed_disk() -> Iterator[None]:
    """Skip flushing files to the disk, for which tests would wait: no power fails here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of all processes of the session, for digests and features of the samples.

    They share the work as runs at the same time do.
    """
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared_cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


@pytest.fixture
def bob(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`bob("run", "--data", ...)` → exit code, stdout, stderr.

    Results and cache are in the test's temporary folder.
    """
    from bob.cli import main

    def call(*words: str) -> tuple[int, str, str]:
        places = ["--results", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
        capfd.readouterr()
        code = main([*map(str, words), *places])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB. Needs root, as CI is; elsewhere the test is skipped and says so."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"CI must be able to mount a tmpfs: {mounted.stderr}")
        pytest.skip(f"NOT TESTED, the full disk: cannot mount a tmpfs ({mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
