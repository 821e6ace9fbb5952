"""`bob-bench doctor FILE` writes an entry that loads the checkpoint's own tensors."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file

from bob.backbones.weights.tensors import tensor_hash
from bob.errors import FAILED, OK, USAGE
from bob.registry import load_backbones
from tests.builders.backbone_entries import load
from tests.builders.checkpoints import BODY, LAYOUTS, RESNET, head, under

Bob = Callable[..., tuple[int, str, str]]
SMALL = "resnet10t"


def written(bob: Bob, file: Path, to: Path, *flags: str) -> str:
    """Return the hash of the tensors that the written entry loads."""
    code, out, err = bob("doctor", file, "--to", to, *flags)
    assert code == OK, out + err
    (name,) = yaml.safe_load(to.read_text())
    assert "does not state pretraining, licence, paper\n" in out
    line = f"next: bob-bench run --registry {to} --backbones {name} --data YOUR_IMAGES"
    assert line in out.replace("\n", " ")
    spec = load_backbones([to])[name]
    return tensor_hash(load(spec).module.state_dict())


def own_hash(state: dict[str, torch.Tensor]) -> str:
    return tensor_hash({f"model.{name}": tensor for name, tensor in state.items()})


@pytest.mark.parametrize("layout", ["swav", "dino_backbone", "wrapped"])
def test_the_layout_of_a_training_checkpoint_is_found(
    layout: str, tmp_path: Path, bob: Bob
) -> None:
    architecture, make = LAYOUTS[layout]
    assert architecture == RESNET
    torch.save(make(BODY[RESNET]), tmp_path / "epoch_99.pth")
    found = written(
        bob, tmp_path / "epoch_99.pth", tmp_path / "mine.yaml", "--architecture", RESNET
    )
    assert found == own_hash(BODY[RESNET])
    (entry,) = yaml.safe_load((tmp_path / "mine.yaml").read_text()).values()
    assert entry["weights"]["file"] == "epoch_99.pth" and len(entry["weights"]["sha256"]) == 64
    assert (entry["width"], entry["preprocessing"]["input_px"]) == (512, 224)


def test_averaged_weights_come_before_those_of_the_student(tmp_path: Path, bob: Bob) -> None:
    body = BODY[RESNET]
    student = {name: tensor + 1 for name, tensor in body.items()}
    torch.save({"student": student, "teacher": body}, tmp_path / "dino.pth")
    flags = ("--architecture", RESNET)
    assert written(bob, tmp_path / "dino.pth", tmp_path / "a.yaml", *flags) == own_hash(body)
    code, out, err = bob("doctor", tmp_path / "dino.pth", *flags, "--name", "second")
    assert code == OK and "state_dict: teacher" in out
    assert "fits as {state_dict: student} too" in " ".join(err.split())


@pytest.mark.parametrize(
    ("of_student", "of_teacher"),
    [("student.backbone.", "teacher.backbone."), ("backbone.", "backbone_ema.")],
)
def test_a_teacher_is_found_beside_the_student_in_one_state_dict(
    of_student: str, of_teacher: str, tmp_path: Path, bob: Bob
) -> None:
    body = BODY[RESNET]
    student = {name: tensor + 1 for name, tensor in body.items()}
    both = under(of_student, student) | under(of_teacher, body) | head("student.head.")
    torch.save({"model": both}, tmp_path / "c.pth")
    flags = ("--architecture", RESNET)
    assert written(bob, tmp_path / "c.pth", tmp_path / "a.yaml", *flags) == own_hash(body)
    code, _, err = bob("doctor", tmp_path / "c.pth", *flags, "--name", "second")
    assert code == OK and f"fits as {{state_dict: model, strip: {of_student}" in " ".join(
        err.split()
    )


def test_the_network_that_the_authors_of_moco_evaluate_is_taken(tmp_path: Path, bob: Bob) -> None:
    """The linear evaluation of facebookresearch/moco-v3 reads `module.base_encoder`."""
    body = BODY[RESNET]
    averaged = {name: tensor + 1 for name, tensor in body.items()}
    both = under("module.momentum_encoder.", averaged) | under("module.base_encoder.", body)
    torch.save({"state_dict": both}, tmp_path / "moco.pth")
    flags = ("--architecture", RESNET)
    assert written(bob, tmp_path / "moco.pth", tmp_path / "a.yaml", *flags) == own_hash(body)


def timm_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return timm.create_model(SMALL, num_classes=4).state_dict()


def test_a_file_with_a_classifier_fits_without_it(tmp_path: Path, bob: Bob) -> None:
    state = timm_state()
    save_file(state, tmp_path / "finetuned.safetensors")
    flags = ("--architecture", f"timm:{SMALL}", "--name", "tuned", "--family", "supervised")
    found = written(bob, tmp_path / "finetuned.safetensors", tmp_path / "mine.yaml", *flags)
    assert found == own_hash({k: v for k, v in state.items() if not k.startswith("fc.")})


def test_a_folder_of_timm_names_its_own_network(tmp_path: Path, bob: Bob) -> None:
    state = timm_state()
    (tmp_path / "saved").mkdir()
    save_file(state, tmp_path / "saved" / "model.safetensors")
    config = {"architecture": SMALL, "pretrained_cfg": {"input_size": [3, 96, 96], "crop_pct": 1.0}}
    (tmp_path / "saved" / "config.json").write_text(json.dumps(config))
    written(bob, tmp_path / "saved", tmp_path / "mine.yaml")
    (entry,) = yaml.safe_load((tmp_path / "mine.yaml").read_text()).values()
    assert entry["preprocessing"]["input_px"] == 96 and entry["preprocessing"]["crop_pct"] == 1
    assert entry["weights"]["file"] == "saved/model.safetensors"
    code, out, err = bob("doctor", tmp_path / "saved", "--architecture", "resnet50")
    message = f"states its own architecture, '{SMALL}': leave out --architecture resnet50."
    assert code != OK and message in " ".join((out + err).split())
    (tmp_path / "saved" / "config.json").write_text("[1]")
    code, _, err = bob("doctor", tmp_path / "saved")
    assert code == USAGE and "must hold a mapping; got [1]" in " ".join(err.split())


def test_a_folder_of_save_pretrained_is_read_by_transformers(tmp_path: Path, bob: Bob) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
    )
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path / "vit")
    code, out, err = bob("doctor", tmp_path / "vit", "--to", tmp_path / "mine.yaml")
    assert code == OK, out + err
    (entry,) = yaml.safe_load((tmp_path / "mine.yaml").read_text()).values()
    assert (entry["loader"], entry["architecture"]) == ("transformers", "vit")
    assert (entry["output"], entry["width"]) == ("cls", 16)
    wrong = ("--architecture", "vit_tiny_patch16_224", "--name", "other")
    code, out, err = bob("doctor", tmp_path / "vit", *wrong)
    message = "states its own architecture, 'vit': leave out --architecture vit_tiny_patch16_224."
    assert code != OK and message in " ".join((out + err).split())


def test_the_vision_model_of_an_image_text_model_is_read(tmp_path: Path, bob: Bob) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**sizes, "intermediate_size": 16, "image_size": 32, "patch_size": 16}
    config = transformers.CLIPConfig(vision_config=vision, text_config=sizes)
    transformers.CLIPModel(config).save_pretrained(tmp_path / "clip")
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path / "clip")
    code, out, err = bob("doctor", tmp_path / "clip", "--to", tmp_path / "mine.yaml")
    assert code == OK, out + err
    (entry,) = yaml.safe_load((tmp_path / "mine.yaml").read_text()).values()
    assert (entry["architecture"], entry["output"], entry["width"]) == (
        "clip_vision_model",
        "cls",
        16,
    )


def test_a_second_entry_is_added_and_a_repeated_name_refused(tmp_path: Path, bob: Bob) -> None:
    save_file(timm_state(), tmp_path / "a.safetensors")
    words = ("doctor", tmp_path / "a.safetensors", "--architecture", SMALL)
    to = ("--to", tmp_path / "mine.yaml")
    assert bob(*words, *to)[0] == OK and bob(*words, *to, "--name", "b")[0] == OK
    assert list(yaml.safe_load((tmp_path / "mine.yaml").read_text())) == ["a", "b"]
    code, _, err = bob(*words, *to)
    assert code == USAGE and "has an entry 'a' already" in " ".join(err.split())


def test_a_checkpoint_that_does_not_fit_shows_the_names_of_both(tmp_path: Path, bob: Bob) -> None:
    save_file({"encoder.weight": torch.zeros(2, 2)}, tmp_path / "a.safetensors")
    code, _, err = bob("doctor", tmp_path / "a.safetensors", "--architecture", SMALL)
    assert code in (USAGE, FAILED) and "encoder.weight" in err and "conv1" in err
    code, _, err = bob("doctor", tmp_path / "a.safetensors")
    assert code == USAGE and "give --architecture" in " ".join(err.split())
    code, _, err = bob("doctor", "raw_pixels", "--architecture", SMALL)
    assert code == USAGE and "--architecture belongs to `doctor FILE`" in " ".join(err.split())
    (tmp_path / "empty").mkdir()
    code, _, err = bob("doctor", tmp_path / "empty")
    assert code == USAGE and "has no readable config.json" in " ".join(err.split())
