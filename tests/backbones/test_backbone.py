"""Backbones: the same features as the library's own pipeline, and refused if any check fails."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import nn

from bob.backbones.backbone import Backbone, Loaded, refuse_outputs
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.weights.locate import find_weights
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import BackboneError
from bob.extraction.embedder import Embedder
from bob.extraction.passes import Member, Target, run_pass
from bob.features.store import FeatureStore
from bob.plan.keys import feature_key
from bob.registry import load_registry
from bob.specs import DEFAULT, GRID, Output
from tests.builders.backbone_entries import (
    embed,
    entry,
    load,
    make_card,
    random_crops,
    relative_difference,
)
from tests.builders.backbones import Count
from tests.builders.photos import make_photos

LITE0 = load_registry().backbones["efficientnet_lite0_in1k"]


# --- the features of a library's own pipeline


@pytest.fixture(scope="module")
def lite0_file() -> Path:
    file = find_weights(LITE0, offline=True)
    assert file is not None
    return file


def timm_lite0(file: Path) -> nn.Module:
    """Load the sample weights without our code: in file order, under timm's names."""
    model = timm.create_model("tf_efficientnet_lite0")
    values = torch.load(file, weights_only=True).values()
    model.load_state_dict(dict(zip(model.state_dict(), values, strict=True)))
    model.reset_classifier(0)
    return model.eval()


@pytest.fixture(scope="module")
def photos(tmp_path_factory, lite0_file):
    """Return a split of photos, the features of timm's own pipeline, and the backbone's card.

    One of more than 16 photos is grey; timm's pipeline embeds one image at a time.
    """
    root = tmp_path_factory.mktemp("photos")
    folder = make_photos(root / "photos", per_class=7, side_px=90)
    Image.new("L", (640, 200), 90).save(folder / "class0" / "grey.jpg")
    split = open_dataset(spec_from_data_flag(str(folder)), root).splits["train"]
    model = timm_lite0(lite0_file)
    transform = create_transform(**resolve_data_config({}, model=model), is_training=False)
    with torch.inference_mode():
        rows = [
            model(transform(Image.open(folder / name).convert("RGB"))[None]) for name in split.ids
        ]
    return split, torch.cat(rows).numpy(), make_card(LITE0, root)


@pytest.mark.parametrize("batch_size", [1, 7, 16])
def test_stored_features_equal_timms_own_pipeline(tmp_path, photos, batch_size):
    split, expected, facts = photos
    assert len(split) > 16
    backbone = load(LITE0)
    fold_batchnorm(backbone)
    store, key = FeatureStore(tmp_path / "features"), feature_key(facts, DEFAULT, "train", split)
    member = Member(Embedder([backbone], batch_size=batch_size), [Target(DEFAULT, key)])
    run_pass(split, [member], store, Count(), workers=2, skip_bad=False)
    assert relative_difference(store.read(key).rows, expected) < 1e-5


def test_normalisation_on_the_device_is_torchvisions_arithmetic():
    crop = random_crops(1, 4)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pixels = crop[0].numpy().astype(np.float64) / 255
    expected = (pixels - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    normalised = Normalisation(mean, std).apply(crop)[0].numpy()
    np.testing.assert_allclose(normalised, expected, rtol=1e-5, atol=1e-6)


def test_heads_are_removed_and_no_parameter_is_trained():
    backbone = load(entry(weights={"random": 0}))
    assert not any(parameter.requires_grad for parameter in backbone.module.parameters())
    assert backbone.check() == (512,), "pooled features, not 1,000 class scores"


# --- checks


class Faulty(nn.Module):
    """A module with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.norm = fault, nn.BatchNorm2d(3)

    def forward(self, x, outputs):
        if self.fault == "train":
            self.norm.training = True
        rows = self.norm(x).mean((2, 3)) if self.fault != "batch" else (x / x.std()).mean((2, 3))
        if self.fault == "nan":
            rows[0, 0] = float("nan")
        if self.fault == "shape":
            rows = x
        if self.fault == "raises":
            raise ZeroDivisionError("by zero")
        if self.fault == "grid":
            rows = x.permute(0, 2, 3, 1)
        return dict.fromkeys(outputs, rows)


def faulty(fault: str, **fields) -> Backbone:
    loaded = Loaded(
        Faulty(fault),
        Geometry(8, 8, 1.0, "center", "bilinear"),
        Normalisation((0.5,) * 3, (0.5,) * 3),
        "test",
    )
    return Backbone(entry(**fields), loaded, "cpu")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", r"features of 1 of 3 images hold NaN or infinity \(precision float32\)"),
        ("shape", r"output 'default' must have shape \(3, D\); got \(3, 3, 8, 8\)"),
        ("batch", r"other features alone than in a batch \(output 'default', difference "),
        ("train", r"other features alone than in a batch .*Does it normalise over the batch"),
        ("raises", "fails while it runs: ZeroDivisionError: by zero"),
    ],
)
def test_wrong_features_are_refused(fault, message):
    with pytest.raises(BackboneError, match=f"backbone 'mine': .*{message}"):
        faulty(fault).check()


def test_rows_are_refused_where_a_grid_is_read_and_grids_where_rows_are():
    with pytest.raises(BackboneError, match=r"'grid' must have shape \(3, H, W, D\); got \(3, 3\)"):
        faulty("none", output="grid").check()
    with pytest.raises(BackboneError, match=r"must have shape \(3, D\); got \(3, 8, 8, 3\)"):
        faulty("grid").check()
    assert faulty("grid", output="grid", width=3).check() == (8, 8, 3)


def test_train_mode_is_refused():
    backbone = faulty("none")
    backbone.module.train()
    with pytest.raises(BackboneError, match="is in train mode"):
        backbone.check()


def test_declared_facts_must_be_true():
    assert faulty("none", width=3, params=6, input_px=8).check() == (3,)
    with pytest.raises(BackboneError, match="width is declared as 4; it is 3"):
        faulty("none", width=4).check()
    with pytest.raises(BackboneError, match="params is declared as 7; it is 6"):
        faulty("none", params=7).check()
    with pytest.raises(BackboneError, match="input_px is declared as 9; it is 8"):
        faulty("none", input_px=9).check()


def test_the_first_unavailable_output_is_named_with_those_available():
    refuse_outputs("mine", [DEFAULT, GRID], [DEFAULT, GRID], "a map")
    with pytest.raises(
        BackboneError, match="backbone 'mine': a map has no output 'cls'; available: default, grid"
    ):
        refuse_outputs("mine", [GRID, Output(pool="cls")], [DEFAULT, GRID], "a map")


def test_an_image_alone_has_the_features_that_it_has_in_a_batch():
    backbone = load(LITE0)
    crops = random_crops(3, backbone.geometry.height_px)
    together = embed(backbone, crops)
    assert relative_difference(embed(backbone, crops[1:2]), together[1:2]) < 1e-5


def test_a_backbone_without_a_text_tower_says_so():
    backbone = load(entry(loader="baseline", architecture="raw_pixels"))
    assert not backbone.has_text
    with pytest.raises(BackboneError, match="'mine': has no text tower; choose one of family clip"):
        backbone.embed_texts(["a cat"])
