"""Zero-shot classification and image-text retrieval: by hand, against open_clip's own classifier and Karpathy's ranks, end to end."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from PIL import Image
from safetensors.numpy import load_file
from safetensors.torch import save_file

from bob.datasets.class_names import class_list
from bob.datasets.dataset import Dataset, Split
from bob.errors import DatasetError, NotApplicableError
from bob.features.store import Effort, Features
from bob.metrics import metric_named
from bob.protocols.image_text import image_text
from bob.protocols.prompts import prompts, spoken, templates_of
from bob.protocols.zeroshot import class_embeddings, zeroshot
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.settings import ImageTextSettings, ZeroshotSettings
from bob.wiring.text import IMAGE_TEXT, ZEROSHOT

CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "layers": 2, "width": 64, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def tiny_clip() -> torch.nn.Module:
    torch.manual_seed(0)
    return open_clip.CLIP(**json.loads(json.dumps(CLIP))).eval()


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# --- zero-shot


def test_class_embeddings_by_hand() -> None:
    """Prompts (3, 0) and (0, 4) become (1, 0) and (0, 1), whose mean points to (1, 1) / sqrt(2): lengths do not weigh."""
    texts = np.array([[3, 0], [0, 4], [0, 2], [0, 5]], np.float32)
    assert class_embeddings(texts, 2) == pytest.approx(
        np.array([[0.5**0.5, 0.5**0.5], [0, 1]]), abs=1e-7
    )


def test_logits_are_scaled_cosines() -> None:
    images, texts = np.array([[2, 0], [1, 1]], np.float32), np.array([[5, 0], [0, 1]], np.float32)
    outcome = zeroshot(images, texts, np.array([0, 0]), 2, 10.0).outcome
    # Image 0: cosines 1 and 0, so log softmax(10, 0)[0] = -log(1 + e^-10); image 1: equal cosines, log 1/2.
    assert outcome.log_prob == pytest.approx([-np.log1p(np.exp(-10)), np.log(0.5)], abs=1e-6)


def test_the_classifier_is_open_clip_s() -> None:
    model, tokenizer = tiny_clip(), open_clip.SimpleTokenizer()
    names, templates = ["tabby cat", "sports car", "sea"], templates_of("simple")
    with torch.inference_mode():
        rows = model.encode_text(tokenizer(list(prompts(names, templates)))).numpy()
        theirs = open_clip.build_zero_shot_classifier(
            model, tokenizer, names, open_clip.SIMPLE_IMAGENET_TEMPLATES
        ).numpy()
    assert class_embeddings(rows, 3) == pytest.approx(theirs.T, abs=1e-5)


@pytest.mark.parametrize(("chosen", "count"), [("openai", 80), ("simple", 7), (("a {}",), 1)])
def test_templates_have_one_place_for_the_name(chosen: object, count: int) -> None:
    templates = templates_of(chosen)  # type: ignore[arg-type]
    assert len(templates) == count
    assert all(template.count("{}") == 1 for template in templates)


def test_prompts_of_a_class_stand_together() -> None:
    assert prompts(["b_c", "{d}"], ["a {}.", "the {}"]) == (
        "a b_c.",
        "the b_c",
        "a {d}.",
        "the {d}",
    )


def test_wordnet_ids_are_said_as_openai_says_them() -> None:
    ids = class_list("imagenet_1k")
    assert spoken(ids, ids) == list(IMAGENET_CLASSNAMES)
    assert spoken([ids[2], ids[0]], ids) == [
        IMAGENET_CLASSNAMES[2],
        IMAGENET_CLASSNAMES[0],
    ]  # a class mask, in its own order
    assert spoken(["hot_dog", "n1"], ids) == ["hot dog", "n1"]
    with pytest.raises(
        DatasetError, match="'n99999999' is a WordNet id that is not one of ImageNet's 1000"
    ):
        spoken([ids[0], "n99999999"], ids)


def test_templates_need_a_place_for_the_name() -> None:
    with pytest.raises(
        ValueError, match=r"each of templates must hold \{\} once, for the class name; got 'a cat'"
    ):
        ZeroshotSettings(templates=("a {}", "a cat"), logit_scale=100.0)


# --- image-text


def slow_recall(similarity: np.ndarray, image_of: np.ndarray, k: int) -> tuple[float, float]:
    """(text to image, image to text) as Karpathy's script has them: the rank of the image; the best rank of its captions."""
    of_text = [
        int((row > row[own]).sum()) < k for row, own in zip(similarity, image_of, strict=True)
    ]
    of_image = []
    for image in range(similarity.shape[1]):
        order = np.argsort(-similarity[:, image])
        of_image.append(
            min(int(np.flatnonzero(order == text)[0]) for text in np.flatnonzero(image_of == image))
            < k
        )
    return float(np.mean(of_text)), float(np.mean(of_image))


@pytest.mark.parametrize("seed", range(4))
def test_recall_both_ways_with_several_captions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(30, 12)).astype(np.float32)
    image_of = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    texts = (images[image_of] + 1.5 * rng.normal(size=(len(image_of), 12))).astype(np.float32)
    parts = {
        part.suffix: part for part in image_text(images, texts, image_of, [1, 5, 10], "cpu").parts
    }
    similarity = unit(texts.astype(np.float64)) @ unit(images.astype(np.float64)).T
    for k in (1, 5, 10):
        found = tuple(
            metric_named("hit_at").function(parts[f"{direction}_k{k}"].outcome)
            for direction in ("text_to_image", "image_to_text")
        )
        assert found == pytest.approx(slow_recall(similarity, image_of, k), abs=1e-12)
    assert parts[""].outcome is not None and len(parts[""].outcome) == len(texts)
    assert parts["image_to_text_k5"].facets == {"direction": "image_to_text", "k": 5}


def test_known_answers() -> None:
    eye = np.eye(4, dtype=np.float32)
    for turn, expected in ((0, 1.0), (1, 0.0)):
        result = image_text(eye, np.roll(eye, turn, axis=0), np.arange(4), [1, 4], "cpu")
        scores = {
            part.suffix: metric_named("hit_at").function(part.outcome)
            for part in result.parts
            if "k" in part.facets
        }
        assert {scores["text_to_image_k1"], scores["image_to_text_k1"], scores[""]} == {expected}
        assert scores["text_to_image_k4"] == scores["image_to_text_k4"] == 1.0


# --- wiring

TEXTLESS = BackboneSpec(
    name="raw_pixels", family="baseline", loader="floor", architecture="raw_pixels"
)
TOWERS = BackboneSpec.model_validate(
    {
        "name": "mine",
        "family": "clip",
        "loader": "open_clip",
        "architecture": "ViT-B-32",
        "weights": {"file": "x"},
    }
)


def task(protocol: str) -> TaskSpec:
    settings = (
        ZeroshotSettings(templates=("a {}", "the {}"), logit_scale=100.0)
        if protocol == "zeroshot"
        else ImageTextSettings(k=(1, 5))
    )
    metric = "top1" if protocol == "zeroshot" else "hit_at"
    return TaskSpec(
        name=protocol,
        version=1,
        protocol=protocol,
        summary="",
        settings=settings,
        metrics=(metric,),
        datasets=("all",),
    )  # type: ignore[arg-type]


def dataset(**facts: object) -> Dataset:
    test = Split(["0", "1", "2"], np.array([0, 1, 1]), ["a", "b", "c"], lambda i: b"", **facts)  # type: ignore[arg-type]
    return Dataset("d", ("small_cat", "car"), {"test": test})


def test_needs_are_both_towers_in_their_common_space() -> None:
    images, texts = ZEROSHOT.needs(task("zeroshot"), dataset(), TOWERS)
    assert images.backbone.pooling == texts.backbone.pooling == "embedding"
    assert texts.texts == ("a small cat", "the small cat", "a car", "the car")  # type: ignore[union-attr]


def test_captions_of_unreadable_images_are_left_out() -> None:
    asked, data = task("image_text"), dataset(captions=[("x",), ("y", "z"), ("w",)])
    needs = IMAGE_TEXT.needs(asked, data, TOWERS)
    eye = np.eye(3, dtype=np.float32)
    rows = {
        "test": Features(eye[[0, 2]], np.array([0, 2]), {1: "bad"}, Effort()),
        "texts": Features(eye[[0, 1, 1, 2]], np.arange(4), {}, Effort()),
    }
    result = IMAGE_TEXT.solve(asked, data, needs, lambda need: rows[need.name], 0, "cpu")
    assert result.detail == {"images": 2, "captions": 2}
    assert metric_named("hit_at").function(result.outcome) == 1.0


@pytest.mark.parametrize(
    ("protocol", "backbone", "facts", "reason", "of"),
    [
        ("zeroshot", TEXTLESS, {}, "needs a text tower", "backbone"),
        ("image_text", TEXTLESS, {"captions": [("x",)] * 3}, "needs a text tower", "backbone"),
        ("image_text", TOWERS, {}, "needs captions; dataset 'd' has none", "dataset"),
        (
            "zeroshot",
            TOWERS,
            {"labels": np.ones((3, 2), bool)},
            "needs one label per image",
            "dataset",
        ),
    ],
)
def test_what_cannot_be_asked_says_why(
    protocol: str, backbone: BackboneSpec, facts: dict[str, object], reason: str, of: str
) -> None:
    wired = ZEROSHOT if protocol == "zeroshot" else IMAGE_TEXT
    with pytest.raises(NotApplicableError, match=reason) as caught:
        wired.needs(task(protocol), dataset(**facts), backbone)
    assert caught.value.of == of


def test_no_class_names_no_zero_shot() -> None:
    with pytest.raises(NotApplicableError, match="needs class names; dataset 'd' has 0"):
        ZEROSHOT.needs(task("zeroshot"), Dataset("d", (), dataset().splits), TOWERS)


def test_end_to_end_it_is_open_clip_s_prediction(
    tmp_path: Path, photos: Path, bob, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    """The command line's per-image predictions on photographs, against open_clip's own transform, towers and classifier."""
    monkeypatch.chdir(tmp_path)
    model = tiny_clip()
    save_file(model.state_dict(), tmp_path / "clip.safetensors")
    entry = {
        "family": "clip",
        "loader": "open_clip",
        "architecture": "ViT-B-32",
        "options": CLIP,
        "weights": {"file": str(tmp_path / "clip.safetensors")},
    }
    (tmp_path / "mine.yaml").write_text(json.dumps({"tiny": entry}))
    code, out, err = bob(
        "run",
        "--data",
        photos,
        "--registry",
        "mine.yaml",
        "--backbones",
        "tiny,raw_pixels",
        "--tasks",
        "zeroshot",
    )
    assert code == 0, out + err
    records = [
        json.loads(path.read_text())
        for path in (tmp_path / "results").rglob("*.json")
        if "zeroshot" in path.read_text()
    ]
    by_backbone = {record["backbone_name"]: record for record in records}
    assert by_backbone["raw_pixels"]["status"] == "not_applicable"
    found = by_backbone["tiny"]
    (arrays,) = (load_file(path) for path in (tmp_path / "results").rglob("tiny.*.safetensors"))
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(size=32), is_train=False
    )
    classifier = open_clip.build_zero_shot_classifier(
        model,
        open_clip.SimpleTokenizer(),
        ["class0", "class1", "class2"],
        open_clip.OPENAI_IMAGENET_TEMPLATES,
    )
    expected = {}
    for path in sorted(photos.rglob("*.png")):
        with torch.inference_mode():
            row = model.encode_image(transform(Image.open(path))[None], normalize=True)
            expected[path.relative_to(photos).as_posix()] = int((row @ classifier).argmax())
    assert np.array_equal(
        arrays["0.predicted"], [expected[name] for name in names_of_test(photos, tmp_path)]
    )
    assert found["details"][0]["prompts_per_class"] == 80


def names_of_test(photos: Path, cache: Path) -> list[str]:
    """The test split of a folder, as the command line draws it."""
    from bob.datasets.open import from_data_flag, open_dataset

    return list(open_dataset(from_data_flag(str(photos)), cache / "other").splits["test"].ids)
