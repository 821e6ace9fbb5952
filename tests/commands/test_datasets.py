"""`bob-bench datasets`: facts, counts, overlaps of splits, downloads, disk usage and removal."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bob.datasets.availability import hub_repository_folder
from bob.datasets.readers.repository import (
    cached_hub_answer,
    cached_streaming_folders,
    hub_cache_file,
)
from bob.errors import FAILED, OK, USAGE
from bob.registry import load_registry
from bob.specs import RepositorySource
from tests.builders.images import make_class_folders, png

Call = Callable[..., tuple[int, str, str]]
TARS = '{reader: webdataset, hub: owner/Tars, data_files: {test: "*.tar"}}'


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    """`mine` is as declared, `short` is not, `absent` has no images, and `tars` is on the hub."""
    make_class_folders(tmp_path / "photos", train__cat=4, train__dog=4, test__cat=2, test__dog=2)
    (tmp_path / "photos" / "test" / "cat" / "0.png").write_bytes(
        png(1)
    )  # the bytes of the second cat of train
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


def test_show_prints_the_facts_of_an_entry(call: Call) -> None:
    code, out, _ = call("show", "mine,absent")
    assert (
        code == OK
        and "summary    Cats and dogs." in out
        and "images     train 8, test 4" in out
        and "caveat     Eight pictures" in out
    )
    assert "download   12 MB (the page, rounded)" in out
    assert "download   1.2 GB as the original archives (their page)" in call("show", "tars")[1]
    assert (
        "obtain     Ask for it." in out
        and "Run `bob-bench datasets show absent` to see how to get it." in out
    )


def test_check_prints_counts_and_overlaps_of_splits(call: Call) -> None:
    code, out, _ = call("check", "mine")
    assert (
        code == OK
        and "mine: 2 classes, train 8, test 4: as declared\n  download: 12 MB (the page, rounded)\n"
        in out
    )
    assert "note: 1 image of test is byte-identical to images of train" in out
    assert "1 images of test are byte-identical to images of train\n" in out
    code, out, _ = call("check", "mine", "--images")
    assert (
        "1 images of test are byte-identical to images of train, 3 more are near-duplicates" in out
    ), "images of one colour differ in their grey level only"


def test_check_reports_unreadable_images(call: Call, entries: Path) -> None:
    (entries.parent / "photos" / "test" / "dog" / "0.png").write_bytes(b"no image")
    code, out, _ = call("check", "mine", "--images")
    assert code == FAILED and "1 images of test are unreadable" in out


def test_check_reads_all_masks(bob: Call, tmp_path: Path) -> None:
    """Of four masks, one has an index without a class and one another size than its image."""
    root = tmp_path / "rooms"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("floor\nwall\n")
    for i, (size, value) in enumerate([((4, 2), 0), ((4, 2), 7), ((2, 4), 1), ((4, 2), 1)]):
        Image.new("RGB", (4, 2), (i, 0, 0)).save(root / "images" / f"{i}.png")
        Image.new("L", size, value).save(root / "masks" / f"{i}.png")
    words = ["datasets", "check", str(root)]
    assert bob(*words)[0] == OK
    code, out, _ = bob(*words, "--images")
    assert code == FAILED
    assert "mask 'masks/1.png' holds the index 7" in out
    assert "mask 'masks/2.png' is 2 x 4 px" in out
    named = [line for line in out.splitlines() if line.startswith("    ") and "mask 'masks" in line]
    assert len(named) == 2
    for i in (1, 2):
        Image.new("L", (4, 2), 1).save(root / "masks" / f"{i}.png")
    code, out, _ = bob(*words, "--images")
    assert code == OK and "cannot be used" not in out


def test_wrong_datasets_fail_and_unavailable_ones_fail_if_named_exactly(call: Call) -> None:
    code, out, _ = call("verify", "group:animals")
    assert code == FAILED and "mine: 2 classes, train 8, test 4; declared: train 8, test 4" in out
    assert (
        "dataset 'short' is not as its registry entry declares: train holds 8 images, declared 9"
        in out
    )
    assert call("check", "absent")[0] == FAILED and call("verify", "absent")[0] == FAILED
    assert call("check", "group:elsewhere")[0] == OK
    code, out, _ = call("verify", "group:elsewhere")
    assert code == OK and "absent: not here, not verified (" in out


def test_prefetch_without_a_network(call: Call) -> None:
    assert call("prefetch", "mine")[:2] == (OK, "mine: 2 classes, train 8, test 4, 0.00 GB\n")
    code, out, _ = call("prefetch", "tars", "--offline")
    assert (
        code == FAILED
        and "dataset 'tars' (owner/Tars): not on this machine, and the hub cannot be reached" in out
    )


TO_DOWNLOAD = "to download: about 1.25 GB from 1 repository\n"


def test_prefetch_prints_the_size_of_the_download(call: Call, entries: Path) -> None:
    """From the entry if the hub is offline; a repository of two entries counts once."""
    code, out, _ = call("prefetch", "tars")
    assert code == FAILED and out.startswith(TO_DOWNLOAD) and "the hub cannot be reached" in out
    with (entries / "datasets.yaml").open("a") as file:
        file.write(
            "again:\n"
            f"  source: {TARS}\n"
            "  download: {mb: 1250, of: files, source: x}\n"
            "other:\n"
            f"  source: {TARS.replace('Tars', 'Other')}\n"
        )
    out = call("prefetch", "tars,again,other,mine")[1]
    assert out.startswith("to download: about 1.25 GB from 2 repositories, and 1 of unknown size\n")


@pytest.mark.parametrize(("answer", "code"), [("n\n", OK), ("\n", OK), ("yes\n", FAILED)])
def test_prefetch_asks_for_confirmation_on_a_terminal(
    answer: str, code: int, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InteractiveInput(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", InteractiveInput(answer))
    done, out, _ = call("prefetch", "tars")
    assert (
        done == code
        and out.startswith(f"{TO_DOWNLOAD}Continue? [y/N] ")
        and ("Nothing was downloaded." in out) == (code == OK)
    )
    monkeypatch.setattr("sys.stdin", InteractiveInput(""))
    assert "Continue?" not in call("prefetch", "tars", "--yes")[1]


def test_disk_counts_downloads_and_remove_deletes_them(call: Call, entries: Path) -> None:
    blob = hub_repository_folder("owner/Tars") / "blobs" / "x"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(30_000_000))
    code, out, _ = call("disk", "tars,mine")
    assert (
        code == OK
        and out.startswith("    0.03 GB  tars\n    0.03 GB  in total")
        and "mine" not in out
    )
    code, out, _ = call("remove", "tars,mine")
    assert (
        code == OK
        and f"would remove {hub_repository_folder('owner/Tars')}, 0.03 GB" in out
        and "Add --yes to remove these files." in out
        and blob.exists()
    )
    code, out, _ = call("remove", "tars,mine", "--yes")
    assert code == OK and "would" not in out and not blob.exists()
    assert (entries.parent / "photos" / "train").exists(), "local copies of the user are kept"


def test_temporarily_kept_files_are_removed_too(call: Call, tmp_path: Path) -> None:
    """Streamed files are in the cache, below the commit that is recorded there."""
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


def test_remove_names_the_other_datasets_that_use_the_files(call: Call, entries: Path) -> None:
    with (entries / "datasets.yaml").open("a") as file:
        file.write(f"tars_again:\n  source: {TARS}\n")
    (hub_repository_folder("owner/Tars") / "blobs").mkdir(parents=True)
    assert "(also used by tars_again)" in call("remove", "tars")[1]


def test_check_reports_on_a_path(bob: Call, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    make_class_folders(photos, train__cat=4, train__dog=3, test__cat=2, test__dog=2)
    (photos / "test" / "dog" / "0.png").write_bytes(b"no image")
    code, out, _ = bob("datasets", "check", photos)
    assert code == OK
    for line in (
        "  images     11 of 2 classes (5 to 6 each)",
        "  splits     names of folders",
        "  train      7 images; 2 classes of 3 (dog) to 4 (cat)",
        "  test       4 images; 2 classes of 2 (cat) to 2 (dog); 1 unreadable",
        "  unreadable test: 'test/dog/0.png'",
    ):
        assert line in out.splitlines()
    code, out, _ = bob("datasets", "check", photos, "--json")
    report = json.loads(out)["photos"]
    assert code == OK and report["splits"]["test"]["traits"] == {"unreadable": 1}
    assert any("1 file cannot be read as an image" in note for note in report["notes"])


def test_errors_do_not_disturb_json(bob: Call, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = bob("datasets", "check", tmp_path / "empty", "--json")
    assert code == FAILED and json.loads(out) == {} and "empty" in err


def test_flags_of_check_are_refused_elsewhere(bob: Call) -> None:
    code, _, err = bob("datasets", "show", "elpv", "--json")
    assert code == USAGE and "--json belongs to `datasets check`" in err
    code, _, err = bob("datasets", "check", "elpv", "--test-split", "val")
    assert code == USAGE and "--test-split belongs to `datasets check PATH`" in err
