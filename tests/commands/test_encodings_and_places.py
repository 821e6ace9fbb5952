"""Every command in every encoding and width, without a home folder, and on read-only folders."""

import io
import json
import os
import pwd
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bob.cli import main
from bob.io.encodings import allow_any_encoding
from bob.io.paths import default_cache, user_path
from tests.builders.feature_files import IDS, SPLIT, X, Y, npz
from tests.builders.leaderboard_records import facts
from tests.builders.photos import BASELINES, make_photos
from tests.builders.stored_sweep import sample_correct, store

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NAMES = ("Grüne-é", "模型", "plain")
"""Names of backbones, of which Latin-1 has one and ASCII one."""


class Stream(io.TextIOWrapper):
    """A standard stream with an encoding; a terminal or a pipe."""

    def __init__(self, encoding: str, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of names in several scripts, and stored features of a few photos."""
    folder = tmp_path_factory.mktemp("sweep")
    make_photos(folder / "photos", per_class=6, side_px=8)
    (folder / "files").mkdir()
    npz(folder / "files", x=X, y=Y, ids=IDS, split=SPLIT)
    for seed, name in enumerate(NAMES):
        correct = dict.fromkeys(
            [("linear", "elpv"), ("knn", "textiles")], sample_correct(0.7, seed)
        )
        store(folder / "results", name, correct, backbone=facts(name))
    places = ["--results", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    photos = ["--data", str(folder / "photos"), "--backbones", BASELINES, "--tasks", "knn"]
    assert main(["run", *photos, "--offline", *places]) == 0
    return folder


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the words of every command; those that write results write into `folder`."""
    results, cache = ["--results", str(folder / "results")], ["--cache-dir", str(folder / "cache")]
    photos = ["--data", str(folder / "photos")]
    run = ["run", *photos, "--backbones", BASELINES, "--tasks", "knn", "--offline"]
    exported = str(folder / "exported.npz")
    return {
        "list backbones": ["list", "backbones"],
        "list tasks": ["list", "tasks"],
        "list datasets": ["list", "datasets"],
        "list records": ["list", "records", *results],
        "show": ["show", f"{NAMES[1]}-linear", *results],
        "run": [*run, *results, *cache],
        "dry run": [*run, "--dry-run", *results, *cache],
        "leaderboard": ["leaderboard", *results],
        "recommend": ["recommend", *results],
        "compare": ["compare", *NAMES[:2], *results],
        "evaluate": ["evaluate", str(folder / "files/f.npz"), "--tasks", "knn", *results, *cache],
        "datasets": ["datasets", "check", str(folder / "photos"), *cache],
        "cache": ["cache", "show", *cache],
        "doctor": ["doctor", "raw_pixels", *cache],
        "features": ["features", "raw_pixels", *photos, "--to", exported, *results, *cache],
    }


COMMANDS = [*commands(Path())]


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Stream, Stream]]]:
    def make(encoding: str, width: int | None) -> tuple[Stream, Stream]:
        out, err = Stream(encoding, width is not None), Stream(encoding, width is not None)
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        monkeypatch.setenv("TERM", "xterm-256color")
        if width is not None:
            monkeypatch.setenv("COLUMNS", str(width))
        return out, err

    yield make


@pytest.mark.parametrize("width", [None, 40, 80, 200])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_writes_in_every_encoding_and_width(
    sweep: Path,
    streams: Callable[..., tuple[Stream, Stream]],
    name: str,
    encoding: str,
    width: int | None,
) -> None:
    """A terminal of that width, or a pipe. Tables are no wider than the terminal."""
    out, err = streams(encoding, width)
    code = main(commands(sweep)[name])
    assert code in (0, 1), err.text()
    text = CONTROL.sub("", out.text() + err.text())
    assert text.strip() and "Traceback" not in text
    rows = [line for line in text.splitlines() if line.startswith(("│", "┃", "|"))]
    rows = [row for row in rows if "\\u" not in row]  # escapes are wider than their characters
    assert all(len(row) <= (width or 120) for row in rows), rows
    if encoding == "utf-8" and name in ("show", "compare"):
        assert NAMES[1] in text


@pytest.mark.parametrize("columns", ["1", "²", "9" * 5_000])
@pytest.mark.parametrize("name", ["leaderboard", "recommend", "compare", "datasets"])
def test_no_width_of_a_terminal_breaks_a_command(
    sweep: Path, capfd: pytest.CaptureFixture[str], monkeypatch, name: str, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    assert main(commands(sweep)[name]) in (0, 1)
    out, err = capfd.readouterr()
    assert out.strip() and "Traceback" not in out + err and len(out) < 100_000


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "0.5 - 1.0, Grosse 3 x 4 ~ \\u6a21 \\U0001f642 <= | cafe"),
        ("latin-1", "0.5 - 1.0, Größe 3 × 4 ~ \\u6a21 \\U0001f642 <= · café"),
        ("utf-8", "0.5 – 1.0, Größe 3 × 4 ≈ 模 🙂 ≤ · café"),
    ],
)
def test_characters_that_an_encoding_lacks_have_plain_likenesses(
    encoding: str, expected: str
) -> None:
    stream = Stream(encoding, is_terminal=False)
    allow_any_encoding(stream)
    stream.write("0.5 – 1.0, Größe 3 × 4 ≈ 模 🙂 ≤ · café")
    assert stream.text() == expected


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose number is in no list and who has no HOME, as in many containers."""

    def unknown(number: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "BOB_CACHE", "BOB_DATA", "HF_HOME", "LOGNAME", "USER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_works_without_a_home(
    sweep: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    code = main(commands(sweep)[name])
    out, err = capfd.readouterr()
    assert code in (0, 1) and out and "Traceback" not in out + err, err


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_cache_must_be_named(capfd: pytest.CaptureFixture[str]) -> None:
    """Features in a folder called `~`, or in a temporary one, would be lost without a word."""
    assert str(user_path("~/a")) == "~/a"
    assert main(["cache", "show"]) == 2
    assert "set the environment variable BOB_CACHE, or give --cache-dir" in capfd.readouterr().err
    os.environ["BOB_CACHE"] = "/somewhere"
    try:
        assert default_cache() == Path("/somewhere")
    finally:
        del os.environ["BOB_CACHE"]


def test_a_command_works_without_an_output_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service or `>&-` starts it."""
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["list", "tasks"]) == 0
    sys.stdout.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has such a device")
def test_output_on_a_full_disk_ends_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["list", "tasks"]) == 2
    assert capfd.readouterr().err == "error: the output cannot be written: the disk is full.\n"


@pytest.mark.parametrize("kind", ["folder", "loop", "pipe", "empty"])
def test_a_run_ends_whatever_stands_in_the_places_of_files_of_its_cache(
    sweep: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    """With the scores that it had: what is no file counts as missing, and a folder is kept."""
    folder = Path(shutil.copytree(sweep, tmp_path / "sweep"))
    results, run = folder / "results", commands(folder)["run"]
    assert main(run) == 0
    (before,) = (results / "records" / "knn" / "photos").glob("raw_pixels.*.json")
    scores = json.loads(before.read_text())["scores"]
    shutil.rmtree(results)
    files = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} >= {"backbones", "fingerprints"}
    for path in files:
        path.unlink()
        if kind == "folder":
            path.mkdir()
            (path / "precious.txt").touch()
        elif kind == "loop":
            path.symlink_to(path)
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.touch()
    assert main(run) == 0
    assert json.loads(before.read_text())["scores"] == scores
    kept = [*folder.rglob("precious.txt")]
    assert len(kept) == (len(files) if kind == "folder" else 0)


READ_ONLY = [name for name in COMMANDS if name not in ("run", "leaderboard", "evaluate")]
"""Commands that only read."""


def refuse_to_write(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make all writing below a folder fail as on a read-only file system, also for root."""
    real_open, real_mkdir = os.open, os.mkdir

    def below(path: object) -> bool:
        return isinstance(path, str | os.PathLike) and str(path).startswith(str(folder))

    def refused(path: object) -> OSError:
        return OSError(30, "Read-only file system", str(path))

    def guarded_open(path: str, flags: int, *rest: int, **named: int) -> int:
        if below(path) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise refused(path)
        return real_open(path, flags, *rest, **named)

    def guarded_mkdir(path: str, *rest: int, **named: int) -> None:
        if below(path) and not Path(path).exists():
            raise refused(path)
        real_mkdir(path, *rest, **named)

    def guarded(*arguments: object, **named: object) -> None:
        raise refused(arguments[0])

    monkeypatch.setattr(os, "open", guarded_open)
    monkeypatch.setattr(os, "mkdir", guarded_mkdir)
    for name in ("rename", "replace", "unlink", "remove", "rmdir", "truncate"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os,
            name,
            lambda path, *rest, _real=real, **named: (
                guarded(path) if below(path) else _real(path, *rest, **named)
            ),
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_read_only_folders_are_read_and_named_where_something_must_be_written(
    sweep: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
) -> None:
    folder = Path(shutil.copytree(sweep, tmp_path / "sweep"))
    words: Sequence[str] = commands(folder)[name]
    words = [str(tmp_path / "out.npz") if word.endswith("exported.npz") else word for word in words]
    refuse_to_write(monkeypatch, folder)
    code = main(words)
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    if name in READ_ONLY:
        assert code in (0, 1) and out, err
    else:
        assert code == 2 and "the file system is read-only" in err, (code, out, err)
