"""Zero-shot classification: by hand, against open_clip's own classifier, and one run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from PIL import Image
from safetensors.numpy import load_file
from safetensors.torch import save_file

from bob.datasets.class_names import class_list, spoken_names
from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import DatasetError, NotApplicableError
from bob.protocols import TextNeed
from bob.protocols.zeroshot import (
    PROTOCOL,
    Templates,
    ZeroshotProblem,
    ZeroshotSettings,
    class_embeddings,
    prompts,
    templates_of,
)
from bob.specs import EMBEDDING, BackboneSpec
from tests.builders.protocols import BASELINE, TWO_TOWERS, make_inputs
from tests.builders.splits import features_from, make_dataset, make_split

SETTINGS = ZeroshotSettings(templates=("a {}", "the {}"), logit_scale=100.0)
CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "layers": 2, "width": 64, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def tiny_clip() -> torch.nn.Module:
    torch.manual_seed(0)
    model: torch.nn.Module = open_clip.CLIP(**json.loads(json.dumps(CLIP))).eval()
    return model


def dataset(**facts: Any) -> Dataset:
    test = make_split("abc", [0, 1, 1], **facts)
    return make_dataset({"test": test}, ("small_cat", "car"))


# --- the classifier


def test_class_embeddings_by_hand() -> None:
    """Prompts (3, 0) and (0, 4) become (1, 0) and (0, 1), whose mean points to (1, 1) / sqrt(2):
    their lengths do not weigh.
    """
    texts = np.array([[3, 0], [0, 4], [0, 2], [0, 5]], np.float32)
    expected = np.array([[0.5**0.5, 0.5**0.5], [0, 1]])
    assert class_embeddings(texts, 2) == pytest.approx(expected, abs=1e-7)


def test_logits_are_scaled_cosines() -> None:
    """Image 0 has cosines 1 and 0, so that log softmax(10, 0)[0] = -log(1 + e^-10); image 1 has
    equal cosines, so that it is log 1/2.
    """
    images, texts = np.array([[2, 0], [1, 1]], np.float32), np.array([[5, 0], [0, 1]], np.float32)
    settings = ZeroshotSettings(templates=("a {}",), logit_scale=10.0)
    problem = ZeroshotProblem(images, texts, np.array([0, 0]), 2)
    outcome = PROTOCOL.solve(problem, settings, "cpu").outcome
    assert outcome.log_prob == pytest.approx([-np.log1p(np.exp(-10)), np.log(0.5)], abs=1e-6)


def test_the_classifier_is_open_clip_s() -> None:
    model, tokenizer = tiny_clip(), open_clip.SimpleTokenizer()
    names, templates = ["tabby cat", "sports car", "sea"], templates_of("simple")
    with torch.inference_mode():
        tokens = tokenizer(list(prompts(names, templates)))
        texts = model.encode_text(tokens).numpy()  # type: ignore[operator]
        theirs = open_clip.build_zero_shot_classifier(
            model, tokenizer, names, open_clip.SIMPLE_IMAGENET_TEMPLATES
        ).numpy()
    assert class_embeddings(texts, 3) == pytest.approx(theirs.T, abs=1e-5)


# --- prompts


@pytest.mark.parametrize(("chosen", "count"), [("openai", 80), ("simple", 7), (("a {}",), 1)])
def test_templates_hold_the_name_once(chosen: Templates, count: int) -> None:
    templates = templates_of(chosen)
    assert len(templates) == count
    assert all(template.count("{}") == 1 for template in templates)


def test_prompts_of_a_class_are_consecutive() -> None:
    assert prompts(["b_c", "{d}"], ["a {}.", "the {}"]) == (
        "a b_c.",
        "the b_c",
        "a {d}.",
        "the {d}",
    )


def test_wordnet_ids_have_openai_s_names() -> None:
    ids = class_list("imagenet_1k")
    assert spoken_names(ids) == list(IMAGENET_CLASSNAMES)
    some = spoken_names([ids[2], ids[0]])  # a class mask, in its own order
    assert some == [IMAGENET_CLASSNAMES[2], IMAGENET_CLASSNAMES[0]]
    assert spoken_names(["hot_dog", "n1"]) == ["hot dog", "n1"]
    with pytest.raises(
        DatasetError, match="'n99999999' is a WordNet id that is not one of ImageNet's 1000"
    ):
        spoken_names([ids[0], "n99999999"])


def test_templates_without_a_place_for_the_name_are_refused() -> None:
    message = r"each of templates must hold \{\} once, for the class name; got 'a cat'"
    with pytest.raises(ValueError, match=message):
        ZeroshotSettings(templates=("a {}", "a cat"), logit_scale=100.0)


# --- from a dataset to a problem


def test_needs_are_both_towers_in_their_common_space() -> None:
    images, texts = PROTOCOL.needs(SETTINGS, dataset(), TWO_TOWERS)
    assert images.backbone.output == texts.backbone.output == EMBEDDING
    assert isinstance(texts, TextNeed)
    assert texts.texts == ("a small cat", "the small cat", "a car", "the car")


def test_unreadable_images_are_excluded_with_their_labels() -> None:
    eye = np.eye(3, dtype=np.float32)
    features = {
        "test": features_from(eye[[0, 2]], [0, 2]),
        "texts": features_from(eye[[0, 0, 1, 1]]),
    }
    needs = PROTOCOL.needs(SETTINGS, dataset(), TWO_TOWERS)
    problem = PROTOCOL.build(SETTINGS, dataset(), needs, make_inputs(features), seed=0)
    assert problem.y.tolist() == [0, 1] and problem.classes == 2


@pytest.mark.parametrize(
    ("backbone", "facts", "reason", "subject"),
    [
        (BASELINE, {}, "needs a text tower", "backbone"),
        (TWO_TOWERS, {"labels": np.ones((3, 2), bool)}, "needs one label per image", "dataset"),
    ],
)
def test_a_text_tower_and_single_labels_are_needed(
    backbone: BackboneSpec, facts: dict[str, Any], reason: str, subject: str
) -> None:
    with pytest.raises(NotApplicableError, match=reason) as caught:
        PROTOCOL.needs(SETTINGS, dataset(**facts), backbone)
    assert caught.value.subject == subject


def test_two_class_names_are_needed() -> None:
    with pytest.raises(NotApplicableError, match="needs two class names; dataset 'd' has 0"):
        PROTOCOL.needs(SETTINGS, make_dataset(dataset().splits, ()), TWO_TOWERS)


# --- one run


def test_predictions_of_a_run_are_open_clip_s(
    tmp_path: Path,
    photos: Path,
    bob: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compare predictions on photographs with open_clip's own transform, towers and classifier."""
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
        *("run", "--data", photos, "--registry", "mine.yaml"),
        *("--backbones", "tiny,raw_pixels", "--tasks", "zeroshot"),
    )
    assert code == 0, out + err
    paths = (tmp_path / "results").rglob("*.json")
    records = [json.loads(path.read_text()) for path in paths if "zeroshot" in path.read_text()]
    by_backbone = {record["backbone_name"]: record for record in records}
    assert by_backbone["raw_pixels"]["status"] == "not_applicable"
    assert by_backbone["tiny"]["details"][0]["prompts_per_class"] == 80
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
            image = transform(Image.open(path))[None]
            row = model.encode_image(image, normalize=True)  # type: ignore[operator]
            expected[path.relative_to(photos).as_posix()] = int((row @ classifier).argmax())
    test = open_dataset(spec_from_data_flag(str(photos)), tmp_path / "cache" / "other")
    names = test.splits["test"].ids
    assert np.array_equal(arrays["0.predicted"], [expected[name] for name in names])


def test_numbers_that_all_names_begin_with_are_not_spoken() -> None:
    """Unless the rest would not tell classes apart, or is no name."""
    assert spoken_names(["001.Black_Tern", "012.Cardinal"]) == ["Black Tern", "Cardinal"]
    assert spoken_names(["291 lion", "10 brambling"]) == ["lion", "brambling"]
    for names in (["1 euro", "2 euro"], ["1 euro", "coin"], ["1 2", "3 4"], ["10.5", "11.5"]):
        assert spoken_names(names) == names
