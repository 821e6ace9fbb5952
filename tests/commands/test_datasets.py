"""`bob-bench datasets`, on entries of its own: words, counts, leaks, disk use, removal."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from bob.datasets.availability import hub_repository_folder
from bob.datasets.readers.repository import (
    hub_cache_file,
    cached_streaming_folders,
    cached_hub_answer,
)
from bob.errors import FAILED, OK
from bob.registry import load_registry
from bob.specs import RepositorySource
from tests.builders.images import fill, png

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    """`mine` is here and as declared, `short` is not, `absent` is elsewhere, and `tars` is a repository on the hub."""
    fill(tmp_path / "photos", train__cat=4, train__dog=4, test__cat=2, test__dog=2)
    (tmp_path / "photos" / "test" / "cat" / "0.png").write_bytes(
        png(1)
    )  # fill gave these bytes to the second cat of train
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "datasets.yaml").write_text("""
mine:
  source: {reader: folder, path: ../photos}
  classes: 2
  counts: {train: 8, test: 4}
  groups: [animals]
  licence: CC0
  download: {mb: 12, of: files, source: "the page, rounded"}
  caveats: [Eight pictures are not many.]
  summary: Cats and dogs.
short:
  source: {reader: folder, path: ../photos}
  counts: {train: 9, test: 4}
  groups: [animals]
absent:
  source: {reader: folder, path: ../nowhere}
  obtain: Ask for it.
  groups: [elsewhere]
tars:
  source: {reader: webdataset, hub: owner/Tars, data_files: {test: "*.tar"}}
  download: {mb: 1250, of: original, source: their page}
""")
    return tmp_path / "tasks"


@pytest.fixture
def call(entries: Path, bob: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "arrow"))
    return lambda *words: bob("datasets", *words, "--tasks-dir", str(entries))


def test_show(call: Call) -> None:
    code, said, _ = call("show", "mine,absent")
    assert (
        code == OK
        and "what       Cats and dogs." in said
        and "images     train 8, test 4" in said
        and "mind       Eight pictures" in said
    )
    assert "download   12 MB (the page, rounded)" in said
    assert "download   1.2 GB as the original archives (their page)" in call("show", "tars")[1]
    assert (
        "obtain     Ask for it." in said
        and "Run `bob-bench datasets show absent` to see how to get it." in said
    )


def test_check(call: Call) -> None:
    code, said, _ = call("check", "mine")
    assert (
        code == OK
        and "mine: 2 classes, train 8, test 4: as declared\n  download: 12 MB (the page, rounded)\n"
        in said
    )
    assert "note: 1 image of test is byte-identical to images of train" in said
    assert "1 images of test are byte-identical to images of train\n" in said
    code, said, _ = call("check", "mine", "--images")
    assert "1 images of test are byte-identical to images of train, 3 nearly so" in said, (
        "flat pictures are alike but for their level"
    )


def test_check_tells_unreadable_images(call: Call, entries: Path) -> None:
    (entries.parent / "photos" / "test" / "dog" / "0.png").write_bytes(b"no image")
    code, said, _ = call("check", "mine", "--images")
    assert code == FAILED and "1 images of test cannot be read" in said


def test_what_is_wrong_fails_and_what_is_absent_fails_where_it_was_named(call: Call) -> None:
    code, said, _ = call("verify", "group:animals")
    assert code == FAILED and "mine: 2 classes, train 8, test 4; declared: train 8, test 4" in said
    assert (
        "dataset 'short' is not as its registry entry declares: train holds 8 images, declared 9"
        in said
    )
    assert call("check", "absent")[0] == FAILED and call("verify", "absent")[0] == FAILED
    assert call("check", "group:elsewhere")[0] == OK
    code, said, _ = call("verify", "group:elsewhere")
    assert code == OK and "absent: not here, not verified (" in said


def test_prefetch_without_a_network(call: Call) -> None:
    assert call("prefetch", "mine")[:2] == (OK, "mine: 2 classes, train 8, test 4, 0.00 GB\n")
    code, said, _ = call("prefetch", "tars", "--offline")
    assert (
        code == FAILED
        and "dataset 'tars' (owner/Tars): not on this machine, and the hub cannot be reached"
        in said
    )


TO_DOWNLOAD = "to download: about 1.25 GB of 1 repository\n"


def test_prefetch_says_how_much_it_will_be(call: Call, entries: Path) -> None:
    """By the entry where the hub cannot be asked; what two entries share counts once."""
    code, said, _ = call("prefetch", "tars")
    assert code == FAILED and said.startswith(TO_DOWNLOAD) and "the hub cannot be reached" in said
    with (entries / "datasets.yaml").open("a") as file:
        file.write(
            'again:\n  source: {reader: webdataset, hub: owner/Tars, data_files: {test: "*.tar"}}\n  download: {mb: 1250, of: files, source: x}\n'
        )
        file.write(
            'other:\n  source: {reader: webdataset, hub: owner/Other, data_files: {test: "*.tar"}}\n'
        )
    said = call("prefetch", "tars,again,other,mine")[1]
    assert said.startswith("to download: about 1.25 GB of 2 repositories, and 1 of unknown size\n")


@pytest.mark.parametrize(("answer", "code"), [("n\n", OK), ("\n", OK), ("yes\n", FAILED)])
def test_prefetch_asks_on_a_terminal(
    answer: str, code: int, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    done, said, _ = call("prefetch", "tars")
    assert (
        done == code
        and said.startswith(f"{TO_DOWNLOAD}Go on? [y/N] ")
        and ("Nothing was downloaded." in said) == (code == OK)
    )
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert "Go on?" not in call("prefetch", "tars", "--yes")[1]


def test_disk_and_remove(call: Call, entries: Path) -> None:
    blob = hub_repository_folder("owner/Tars") / "blobs" / "x"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(30_000_000))
    code, said, _ = call("disk", "tars,mine")
    assert (
        code == OK
        and said.startswith("    0.03 GB  tars\n    0.03 GB  in all")
        and "mine" not in said
    )
    code, said, _ = call("remove", "tars,mine")
    assert (
        code == OK
        and f"would remove {hub_repository_folder('owner/Tars')}, 0.03 GB" in said
        and "Add --yes to do it." in said
        and blob.exists()
    )
    code, said, _ = call("remove", "tars,mine", "--yes")
    assert code == OK and "would" not in said and not blob.exists()
    assert (entries.parent / "photos" / "train").exists(), "what was laid there by hand stays"


def test_files_that_are_kept_for_a_while_are_removed_too(call: Call, tmp_path: Path) -> None:
    """What streams through the disk lies in the cache, below the commit that was remembered."""
    source = load_registry([], [tmp_path / "tasks"]).datasets["tars"].source
    assert (
        isinstance(source, RepositorySource)
        and cached_streaming_folders(tmp_path / "cache", source) == []
    )
    cached_hub_answer(
        hub_cache_file(tmp_path / "cache", source),
        {"commit"},
        lambda: {"commit": "0" * 40, "files": []},
    )
    (file,) = [folder / "0.tar" for folder in cached_streaming_folders(tmp_path / "cache", source)]
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(20_000_000))
    assert call("disk", "tars")[1].startswith("    0.02 GB  tars\n")
    assert call("remove", "tars", "--yes")[0] == OK and not file.exists()


def test_remove_says_who_else_uses_it(call: Call, entries: Path) -> None:
    with (entries / "datasets.yaml").open("a") as file:
        file.write(
            'tars_again:\n  source: {reader: webdataset, hub: owner/Tars, data_files: {test: "*.tar"}}\n'
        )
    (hub_repository_folder("owner/Tars") / "blobs").mkdir(parents=True)
    assert "(also used by tars_again)" in call("remove", "tars")[1]
