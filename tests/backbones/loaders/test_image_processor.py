"""Every image processor of transformers: its own pixels to rounding, or a refusal that names it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor
from transformers.models.auto.image_processing_auto import (
    IMAGE_PROCESSOR_MAPPING_NAMES,
    get_image_processor_class_from_name,
)

from bob.backbones.loaders.image_processor import Adopted, adopt
from bob.backbones.pixels.geometry import FAST_LEVELS

SIZES = [(61, 47), (48, 67), (90, 31), (33, 200), (17, 9), (350, 260), (28, 31), (31, 28)]
"""(width, height) of images that no processor has seen."""


def class_names() -> list[str]:
    """Return the classes that compute with Pillow, or with torchvision where there is no other."""
    names = {}
    for backends in IMAGE_PROCESSOR_MAPPING_NAMES.values():
        name = backends.get("pil") or backends.get("torchvision")
        if name and name != "TimmWrapperImageProcessor":  # reads a configuration of timm
            names[name] = None
    return sorted(names)


def settings_of(folder: Path, name: str, **changes: Any) -> Path:
    """Write a class's own settings, with changes, as `save_pretrained` does."""
    get_image_processor_class_from_name(name)(**changes).save_pretrained(folder)
    return folder


def written(folder: Path, **settings: Any) -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def image(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Return noise over the whole range of 8 bits, which shows how values are clipped."""
    values = np.random.default_rng([seed, *size]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(values)


def soft(size: tuple[int, int]) -> Image.Image:
    """Return a picture of slow changes, as photographs have them."""
    coarse = np.random.default_rng(size).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def assert_same_pixels(folder: Path, adopted: Adopted, sizes=SIZES) -> None:
    """Compare crops and normalisation of ours with the library's own call, at any shape."""
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    assert adopted.geometry and adopted.normalisation and adopted.problem == ""
    is_pillow = processor.backend == "pil"
    for size in sizes if adopted.geometry.height_px < 600 else sizes[:3]:
        picture = image(size) if is_pillow else soft(size)
        theirs = processor(images=picture, return_tensors="pt")["pixel_values"].float()
        crop = adopted.geometry.crop(picture)[None]
        ours = adopted.normalisation.apply(crop)
        ours = ours.flip(1) if adopted.is_bgr else ours
        levels = (ours - theirs).abs() * torch.tensor(adopted.normalisation.std).view(3, 1, 1) * 255
        assert theirs.shape == ours.shape
        assert levels.max() < (1e-3 if is_pillow else FAST_LEVELS + 1e-3), size


ADOPTED = {
    "BeitImageProcessorPil",
    "BitImageProcessorPil",
    "BlipImageProcessorPil",
    "CLIPImageProcessorPil",
    "ChineseCLIPImageProcessorPil",
    "ConvNextImageProcessorPil",
    "DINOv3ViTImageProcessor",
    "DPTImageProcessorPil",
    "DeiTImageProcessorPil",
    "EfficientNetImageProcessorPil",
    "LevitImageProcessorPil",
    "MobileNetV1ImageProcessorPil",
    "MobileNetV2ImageProcessorPil",
    "MobileViTImageProcessorPil",
    "PoolFormerImageProcessorPil",
    "PvtImageProcessorPil",
    "SegformerImageProcessorPil",
    "SiglipImageProcessorPil",
    "ViTImageProcessorPil",
}
"""Classes of backbones that people probe, which must not be refused."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", class_names())
def test_every_class_gives_its_own_pixels_or_is_refused_by_name(tmp_path, name):
    try:
        settings_of(tmp_path, name)
    except (ImportError, ValueError, TypeError) as error:
        pytest.fail(f"cannot be made: {error}") if name in ADOPTED else None
        return
    adopted = adopt(transformers, tmp_path)
    if adopted.geometry and adopted.normalisation:
        assert_same_pixels(tmp_path, adopted)
    else:
        assert name not in ADOPTED, adopted.problem
        assert name.removesuffix("Pil") in adopted.problem


FLAGS: dict[str, dict[str, Any]] = {
    "do_normalize": {"do_normalize": False},
    "do_rescale": {"do_rescale": False},
    "rescale_factor": {"rescale_factor": 1 / 127.5},
    "neither": {"do_rescale": False, "do_normalize": False},
    "other range": {
        "do_rescale": False,
        "image_mean": [123.7, 116.3, 103.5],
        "image_std": [58.0] * 3,
    },
    "other values": {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
    "nearest": {"resample": 0},
    "lanczos": {"resample": 1},
    "bilinear": {"resample": 2},
    "bicubic": {"resample": 3},
    "size as a number": {"size": 40},
    "shortest edge": {"size": {"shortest_edge": 40}},
    "height and width": {"size": {"height": 40, "width": 56}},
    "crop as a number": {"crop_size": 28},
    "crop of another shape": {"crop_size": {"height": 28, "width": 41}},
    "crop larger than the image": {"size": {"shortest_edge": 24}, "crop_size": 29},
    "odd crop": {"size": {"shortest_edge": 41}, "crop_size": {"height": 28, "width": 28}},
    "no crop": {"do_center_crop": False},
    "a crop": {"do_center_crop": True, "size": {"height": 44, "width": 40}, "crop_size": 28},
    "no resize": {"do_resize": False},
    "BGR": {"do_flip_channel_order": True},
    "RGB": {"do_flip_channel_order": False},
    "padding": {"do_pad": True, "pad_size": {"height": 300, "width": 300}},
    "limit": {"size": {"shortest_edge": 40, "longest_edge": 80}},
    "far limit": {"size": {"shortest_edge": 40, "longest_edge": 480}},
    "box filter": {"resample": 4},
    "crop_pct": {"size": {"shortest_edge": 40}, "crop_pct": 0.7},
    "offset": {"rescale_offset": True},
    "head": {"include_top": False},
}
BY_HEIGHT = ("ViTImageProcessor", "DeiTImageProcessor", "EfficientNetImageProcessor")
CLASSES = (
    *BY_HEIGHT,
    "BitImageProcessor",
    "MobileViTImageProcessor",
    "ConvNextImageProcessor",
)
SMALL = {"size": {"shortest_edge": 32}, "crop_size": {"height": 28, "width": 28}}
SQUARE = {"size": {"height": 32, "width": 32}, "crop_size": {"height": 28, "width": 28}}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("name", CLASSES)
def test_every_flag_gives_its_own_pixels_or_is_refused(tmp_path, name, flag):
    """No flag is ignored: what cannot be adopted leaves no geometry or no normalisation."""
    own = SQUARE if name in BY_HEIGHT else SMALL
    written(tmp_path, **{"image_processor_type": name, **own, **FLAGS[flag]})
    adopted = adopt(transformers, tmp_path)
    if adopted.geometry and adopted.normalisation:
        sizes = [*SIZES, (600, 20)] if "limit" in flag else SIZES
        assert_same_pixels(tmp_path, adopted, sizes)
    else:
        assert name in adopted.problem or "cannot be loaded" in adopted.problem


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("BitImageProcessor", {"do_center_crop": False}, "do_center_crop False"),
        ("BitImageProcessor", {"do_resize": False}, "do_resize False"),
        ("BitImageProcessor", {"resample": 4}, "resample 4"),
        (
            "BitImageProcessor",
            {"size": {"shortest_edge": 32, "longest_edge": 64}},
            "size {'longest_edge': 64, 'shortest_edge': 32}",
        ),
        ("PerceiverImageProcessor", SQUARE, "do_center_crop True"),
    ],
)
def test_the_flag_to_blame_is_named(tmp_path, name, changes, named):
    adopted = adopt(
        transformers, written(tmp_path, **{"image_processor_type": name, **SMALL, **changes})
    )
    assert adopted.geometry is None
    assert adopted.problem == f"its {name} crops as bob-bench cannot: {named}"


@pytest.mark.parametrize(
    ("name", "settings", "geometry", "mean", "std"),
    [
        # a number is a square for a ViT and the shorter side for a CLIP
        ("ViTFeatureExtractor", {"size": 32}, ("squash", [32, 32], 32), [0.5] * 3, [0.5] * 3),
        (
            "CLIPFeatureExtractor",
            {"size": 32, "crop_size": 28, "image_mean": [0.5] * 3, "image_std": [0.25] * 3},
            ("center", [32], 28),
            [0.5] * 3,
            [0.25] * 3,
        ),
        # below 384 px a ConvNeXt resizes to size / crop_pct and crops
        (
            "ConvNextImageProcessor",
            {"size": {"shortest_edge": 28}, "crop_pct": 0.875},
            ("center", [32], 28),
            [0.5] * 3,
            [0.5] * 3,
        ),
        # x - 0 of values of 0 to 255, whose mean and deviation are stated in that range
        (
            "ViTImageProcessor",
            {"size": 32, "do_rescale": False, "image_mean": [51.0] * 3, "image_std": [102.0] * 3},
            ("squash", [32, 32], 32),
            [0.2] * 3,
            [0.4] * 3,
        ),
        # 2 x / 255
        (
            "ViTImageProcessor",
            {"size": 32, "rescale_factor": 1 / 127.5, "do_normalize": False},
            ("squash", [32, 32], 32),
            [0.0] * 3,
            [0.5] * 3,
        ),
    ],
)
def test_what_is_adopted_is_told_in_the_terms_of_an_entry(
    tmp_path, name, settings, geometry, mean, std
):
    kind = {"feature_extractor_type": name} if "Feature" in name else {"image_processor_type": name}
    adopted = adopt(transformers, written(tmp_path, **kind, **settings))
    mode, resize, side = geometry
    facts = adopted.geometry.facts()
    assert (facts["crop_mode"], facts["resize"], facts["input_px"]) == (mode, resize, side)
    assert adopted.normalisation.mean == pytest.approx(mean, abs=1e-12)
    assert adopted.normalisation.std == pytest.approx(std, abs=1e-12)


def test_a_nested_processor_is_found(tmp_path):
    """Transformers 5 saves the image processor within that of an image-text model."""
    inner = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"image_processor": inner, "processor_class": "AnyProcessor"})
    )
    assert adopt(transformers, tmp_path).geometry.facts()["input_px"] == 32


@pytest.mark.parametrize(
    "changes", [{"resample": "bicubic"}, {"resample": "NaN"}, {"image_mean": ["a", "b", "c"]}]
)
def test_settings_of_other_types_are_a_problem_and_no_traceback(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    size = {"height": 32, "width": 32}
    settings = {"image_processor_type": "ViTImageProcessor", "size": size, **changes}
    assert (
        "ViTImageProcessor cannot be run"
        in adopt(transformers, written(tmp_path, **settings)).problem
    )
