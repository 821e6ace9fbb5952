"""Your own images on the command line: which split is tested on, and what is said about them."""

import json
import os
from pathlib import Path

from PIL import Image

from bob.errors import FAILED, OK, USAGE
from bob.leaderboards.gather import gather_selection
from tests.builders.photos import make_photos

RUN = ("--backbones", "raw_pixels", "--tasks", "knn")


def train_and_val(root: Path) -> Path:
    """Make train/ and val/ with 20 and 12 images of two classes."""
    make_photos(root / "train", per_class=10, classes=2, side_px=8)
    make_photos(root / "val", per_class=6, classes=2, side_px=8)
    for i, path in enumerate(sorted((root / "val").rglob("*.png"))):
        path.write_bytes(path.read_bytes() + b"%d" % i)  # else they are those of train
    return root


def record(tmp_path: Path) -> dict:
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    return json.loads(path.read_text())


def test_val_is_tested_on_where_the_flag_says_so(bob, tmp_path):
    photos = train_and_val(tmp_path / "photos")
    code, _, err = bob("run", "--data", photos, *RUN, "--test-split", "val")
    assert code == OK and "no test split" not in err
    dataset = record(tmp_path)["dataset"]
    assert dataset["split_origin"] == {
        "kind": "official",
        "test_split": "val",
        "options": {"test_split": "val"},
    }
    assert dataset["counts"] == {"train": 20, "test": 12}
    key = record(tmp_path)["key"]
    code, _, err = bob("show", key[:16], "--images", "--data", photos)
    assert code == OK and "no images" not in err


def test_a_link_in_a_circle_does_not_stop_a_command(bob, tmp_path):
    photos = make_photos(tmp_path / "photos", per_class=5, classes=2, side_px=8)
    (photos / "class0" / "circle").symlink_to(photos / "class0" / "circle")
    code, out, err = bob("datasets", "check", photos)
    assert code == OK and "no extension (1)" in out + err


def test_train_and_val_without_the_flag_say_what_was_chosen(bob, tmp_path):
    photos = train_and_val(tmp_path / "photos")
    code, _, err = bob("run", "--data", photos, *RUN)
    assert code == OK
    assert (
        "note dataset photos: there is a val split and no test split: 20% of train are drawn as "
        "test, and val chooses settings. To test on val, use `--test-split val`"
    ) in " ".join(err.split())
    assert record(tmp_path)["dataset"]["notes"][0].startswith("there is a val split and no test")


def test_results_with_and_without_groups_stand_side_by_side(bob, tmp_path):
    """The groups divide other images into train and test, so that the scores differ."""
    photos = make_photos(tmp_path / "photos", per_class=8, classes=2, side_px=8)
    files = sorted(photos.rglob("*.png"))
    rows = [
        f"{path.relative_to(photos)},{path.parent.name},{i // 2}" for i, path in enumerate(files)
    ]
    table = photos / "t.csv"
    table.write_text("\n".join(["path,label,pair", *rows]))
    for flags in ((), ("--group", "pair")):
        assert bob("run", "--data", table, *RUN, *flags)[0] == OK
    _, selected = gather_selection(tmp_path / "results", None, None, [str(table)])
    assert sorted(one.dataset_name for one in selected) == ["t", "t_group-pair"]


def test_flag_without_own_images_is_refused(bob, tmp_path):
    message = "--test-split 'val' belongs to --data PATH"
    for command in (
        ("run", *RUN),
        ("features", "raw_pixels", "elpv", "--to", tmp_path / "x.npz"),
    ):
        code, _, err = bob(*command, "--test-split", "val")
        assert code == USAGE and message in " ".join(err.split())


def test_split_that_is_not_there_fails_the_dataset(bob, tmp_path):
    photos = make_photos(tmp_path / "photos", per_class=5, classes=2, side_px=8)
    code, _, err = bob("run", "--data", photos, *RUN, "--test-split", "val")
    assert code in (FAILED, USAGE)
    assert "no split 'val' to test on; the folder holds class folders" in " ".join(err.split())


def test_split_without_a_readable_image_is_named(bob, tmp_path):
    """20 files of train and 12 of val are no images; the message quotes the first."""
    photos = train_and_val(tmp_path / "photos")
    for path in (photos / "train").rglob("*.png"):
        path.write_bytes(b"no image " + str(path).encode())
    code, _, err = bob("run", "--data", photos, *RUN, "--test-split", "val", "--skip-bad-images")
    text = " ".join(err.split())
    assert code == FAILED and "classes" not in text
    assert (
        "dataset 'photos_test-val', train: none of the 20 images can be read: image 'train/" in text
    )


def test_images_for_retrieval_of_which_none_is_readable_are_named(bob, tmp_path):
    photos = make_photos(tmp_path / "photos", per_class=20, classes=2, side_px=8)
    for path in photos.rglob("*.png"):
        path.write_bytes(b"no image " + str(path).encode())
    code, _, err = bob(
        "run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "retrieval",
        "--skip-bad-images",
    )  # fmt: skip
    assert code == FAILED
    assert "test: none of the 8 images can be read" in " ".join(err.split())


def test_class_without_a_readable_train_image_is_named(bob, tmp_path):
    photos = train_and_val(tmp_path / "photos")
    lost = sorted((photos / "train").iterdir())[0]
    for path in lost.iterdir():
        path.write_bytes(b"no image " + str(path).encode())
    code, _, err = bob("run", "--data", photos, *RUN, "--test-split", "val", "--skip-bad-images")
    assert code == FAILED
    assert f"no train image of {lost.name!r} can be read" in " ".join(err.split())


def test_names_that_are_not_utf8_run_end_to_end(bob, tmp_path):
    """Folders and files whose names are Latin-1, as old archives hold them."""
    photos = make_photos(tmp_path / "photos", per_class=10, classes=2, side_px=8)
    for n, folder in enumerate(sorted(photos.iterdir())):
        renamed = Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9%d" % n))
        folder.rename(renamed)
        for i, path in enumerate(sorted(renamed.iterdir())):
            path.rename(Path(os.fsdecode(os.fsencode(renamed) + b"/\xe4%d.png" % i)))
    code, _, err = bob("run", "--data", photos, *RUN)
    assert code == OK and "20 names are not UTF-8" in " ".join(err.split())
    code, _, err = bob("show", record(tmp_path)["key"][:16], "--images", "--data", photos)
    assert code == OK and "no images" not in err


def test_the_normal_class_is_named_recorded_and_shown_again(bob, tmp_path):
    make_photos(tmp_path / "parts", per_class=10, classes=2, side_px=8)
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    data = ("--data", tmp_path / "parts")
    assert bob("run", *data, *RUN, "--normal", names[0])[0] == OK
    assert record(tmp_path)["dataset"]["normal"] == [names[0]]
    code, _, err = bob("show", record(tmp_path)["key"][:16], "--images", *data)
    assert code == OK and "no images" not in err
    assert bob("run", *data, *RUN[:-1], "anomaly", "--normal", names[0])[0] == OK
    code, _, err = bob("run", *RUN, "--normal", "x")
    assert code == USAGE and "--normal 'x' belongs to --data PATH" in " ".join(err.split())


def test_run_prints_and_records_what_was_given(bob, tmp_path):
    photos = train_and_val(tmp_path / "photos")
    code, out, _ = bob("run", "--data", photos, *RUN, "--test-split", "val")
    assert code == OK
    assert (
        "data photos_test-val: 32 images of 2 classes (16 each); train 20, test 12 (names of "
        "folders, tested on 'val')"
    ) in " ".join(out.split())
    report = record(tmp_path)["dataset"]["report"]
    assert report["images"] == 32 and report["splits"]["test"]["images"] == 12


def test_unreadable_images_of_all_splits_are_reported_by_one_run(bob, tmp_path):
    """Two images are cut short behind their headers, which only decoding finds."""
    photos = tmp_path / "photos"
    for n, split in enumerate(("train", "test")):
        make_photos(photos / split, per_class=6, classes=2, side_px=32 + n)
        path = photos / split / "class0" / "000.png"
        path.write_bytes(path.read_bytes()[:200])
    code, _, err = bob("run", "--data", photos, *RUN)
    assert code == FAILED
    for split in ("train", "test"):
        assert f"image '{split}/class0/000.png' cannot be decoded" in err


def test_images_without_a_readable_header_end_a_run_before_any_is_embedded(bob, tmp_path):
    photos = tmp_path / "photos"
    for n, split in enumerate(("train", "test")):
        make_photos(photos / split, per_class=6, classes=2, side_px=32 + n)
        (photos / split / "class0" / "000.png").write_bytes(b"not an image")
    code, out, err = bob("run", "--data", photos, *RUN)
    assert code == FAILED and "0 cells to do" in out and "embedding" not in out + err
    for split in ("train", "test"):
        assert f"image '{split}/class0/000.png' is not in a supported format" in err
    code, out, _ = bob("run", "--data", photos, *RUN, "--skip-bad-images")
    assert code == OK and "1 cell to do" in out


def boxes_of_photos(photos: Path) -> Path:
    """Write a COCO JSON file that calls the left 4 x 8 px of every image an object."""
    images = []
    for i, path in enumerate(sorted(photos.rglob("*.png"))):
        with Image.open(path) as image:
            width, height = image.size
        name = path.relative_to(photos).as_posix()
        images.append({"id": i, "file_name": name, "width": width, "height": height})
    annotations = [
        {"image_id": of["id"], "category_id": 1 + of["id"] % 2, "bbox": [0, 0, 4, 8]}
        for of in images
    ]
    categories = [{"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"}]
    file = photos / "boxes.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(content))
    return file


def test_own_boxes_are_in_a_coco_file(bob, tmp_path):
    photos = make_photos(tmp_path / "photos", per_class=10, classes=2, side_px=8)
    boxes_of_photos(photos)
    run = ("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "detect")
    assert bob(*run, "--boxes", "boxes.json", "--runtime", "eager")[0] == OK
    found = record(tmp_path)
    assert found["status"] == "ok" and found["dataset"]["counts"] == {"train": 16, "test": 4}
    assert found["dataset_name"] == "photos_boxes-boxes"
    assert {score["metric"] for score in found["scores"]} >= {"box_ap", "box_ap_50_ceiling"}


def test_boxes_go_with_a_folder_and_without_labels(bob, tmp_path):
    photos = make_photos(tmp_path / "photos", per_class=2, classes=2, side_px=8)
    file = boxes_of_photos(photos)
    table = photos / "t.csv"
    table.write_text("path,label\n")
    for data, flags, message in (
        (photos, ("--boxes", "no.json"), "--boxes 'no.json': no such file"),
        (table, ("--boxes", file), "--boxes goes with a folder of images"),
        (photos, ("--boxes", file, "--label", "x"), "to which --label does not apply"),
    ):
        code, _, err = bob("run", "--data", data, *RUN, *flags)
        assert code == USAGE and message in " ".join(err.split())
