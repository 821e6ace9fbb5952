"""Runtimes give eager PyTorch's features or are not used; autotuning picks the fastest."""

import contextlib
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from bob.backbones.backbone import Backbone, Loaded
from bob.backbones.loaders.timm import TimmFeatures
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.errors import BackboneError
from bob.extraction.runtimes import autotune
from bob.extraction.runtimes.autotune import (
    Candidate,
    Choice,
    TuningImages,
    load_choice,
    make_runtime,
    save_choice,
)
from bob.extraction.runtimes.compiled import Compiled
from bob.extraction.runtimes.eager import Eager
from bob.extraction.runtimes.onnx import OnnxRuntime
from bob.extraction.runtimes.openvino import OpenVino
from bob.extraction.runtimes.prefetch import Prefetcher
from bob.extraction.runtimes.runtime import agree
from bob.registry import load_registry
from bob.specs import DEFAULT, GRID, Output

BASELINE = load_registry().backbones["raw_pixels"]
SPEC = BASELINE.model_copy(update={"loader": "python"})
CLS, MEAN_PATCH = Output(pool="cls"), Output(pool="mean_patch")
SIDE_PX = 32


def backbone(module: nn.Module, precision: str = "float32") -> Backbone:
    loaded = Loaded(
        module,
        Geometry(SIDE_PX, SIDE_PX, 1.0, "center", "bilinear"),
        Normalisation((0.4,) * 3, (0.2,) * 3),
        "test",
    )
    return Backbone(SPEC, loaded, "cpu", precision)


class Convolutions(nn.Module):
    """A small network with what runtimes fuse.

    It has strided and grouped convolutions, BatchNorm with statistics, and activations.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2),
            nn.BatchNorm2d(16),
            nn.ReLU6(),
            nn.Conv2d(16, 16, 3, groups=16),
            nn.BatchNorm2d(16),
            nn.SiLU(),
        )
        for norm in (self.body[1], self.body[4]):
            nn.init.uniform_(norm.running_mean), nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x, outputs):
        y = self.body(x)
        features = {
            DEFAULT: y.mean((2, 3)),
            MEAN_PATCH: y.amax((2, 3)),
            GRID: y.permute(0, 2, 3, 1),
        }
        return {output: features[output] for output in outputs}


def small_vit() -> nn.Module:
    import timm

    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0, img_size=SIDE_PX)
    return TimmFeatures(model, "vit")


def crops(n: int) -> torch.Tensor:
    return torch.randint(
        256, (n, 3, SIDE_PX, SIDE_PX), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )


@pytest.mark.parametrize("runtime", [OpenVino, OnnxRuntime])
@pytest.mark.parametrize(
    ("module", "outputs"),
    [
        (Convolutions, [DEFAULT, MEAN_PATCH]),
        (Convolutions, [DEFAULT, GRID]),
        (small_vit, [DEFAULT, CLS, Output(pool="cls+mean_patch")]),
        (small_vit, [DEFAULT, GRID, Output(layers=(-2, -1), pool="cls")]),
    ],
)
def test_runtimes_give_eager_features_for_any_number_of_images(runtime, module, outputs):
    """9 images in batches of 4: two full ones and one of a single image. One output alone, too."""
    reference = backbone(module())
    expected = Eager(reference, 9).embed(crops(9), outputs)
    tested = runtime(reference, outputs, 4)
    assert agree(tested.embed(crops(9), outputs), expected)
    (alone,) = tested.embed(crops(1), outputs[1:2]).values()
    largest = np.abs(expected[outputs[1]]).max()
    np.testing.assert_allclose(alone[0], expected[outputs[1]][0], rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("output", [DEFAULT, GRID])
def test_a_compiled_backbone_gives_eager_features(output):
    tested = backbone(Convolutions())
    assert agree(
        Compiled(tested, [output], 4).embed(crops(6), [output]),
        Eager(tested, 6).embed(crops(6), [output]),
    )


@pytest.mark.parametrize("runtime", [OpenVino, OnnxRuntime, Compiled])
def test_every_runtime_refuses_features_that_are_not_finite(runtime):
    class Broken(nn.Module):
        def forward(self, x, outputs):
            return {DEFAULT: x.mean((2, 3)) / (x - x).mean((2, 3))}

    with pytest.raises(BackboneError, match="hold NaN or infinity"):
        runtime(backbone(Broken()), [DEFAULT], 2).embed(crops(2), [DEFAULT])


@pytest.mark.parametrize(
    ("rows", "is_same"),
    [
        ([[1.0, 2.0]], True),
        ([[1.0, 2.00001]], True),
        ([[1.0, 2.0001]], False),
        ([[1.0]], False),
        ([[1.0, np.nan]], False),
    ],
)
def test_agreement_is_relative_to_the_largest_value(rows, is_same):
    """1e-5 of 2 is 2e-5: 2.00001 is within it, 2.0001 is not."""
    assert agree({DEFAULT: np.array(rows)}, {DEFAULT: np.array([[1.0, 2.0]])}) == is_same


class Stub:
    """A runtime that returns eager PyTorch's features and lists the batch sizes it is made for."""

    made: list[int]

    def __init__(self, backbone, outputs, batch_size):
        type(self).made.append(batch_size)
        self.name, self.backbone, self.batch_size = "openvino", backbone, batch_size

    def embed(self, crops, outputs):
        return Eager(self.backbone, 64).embed(crops, outputs)


@pytest.fixture
def candidate(monkeypatch):
    """One candidate that takes a second to prepare and is expected to be twice as fast.

    Eager PyTorch takes 1 ms per image, the candidate 0.1 ms.
    """
    Stub.made = []
    only = Candidate("openvino", Stub, "torch", setup_seconds=1.0, speedup=2.0)
    monkeypatch.setattr(autotune, "CANDIDATES", (only,))
    monkeypatch.setattr(
        autotune,
        "_seconds_per_image",
        lambda runtime, images: 1e-3 if runtime.name == "eager" else 1e-4,
    )
    return only


def images(total: int) -> TuningImages:
    return TuningImages(crops(16), total, [DEFAULT])


@pytest.mark.parametrize(("total", "name"), [(1_999, "eager"), (2_001, "openvino")])
def test_a_candidate_is_prepared_where_the_images_repay_it(candidate, total, name):
    """It is expected to save 0.5 ms of 1 ms per image: 2,000 images repay its second."""
    assert make_runtime(backbone(Convolutions()), images(total), "auto", None, None).name == name


@pytest.mark.parametrize(
    ("seconds", "requested", "precision", "expected"),
    [
        (10, "auto", "float32", 6),
        (10, "openvino", "float32", 6),
        (10, "eager", "float32", 10),
        (10, "auto", "bfloat16", 10),
        (1.5, "auto", "float32", 1.5),
    ],
)
def test_the_expected_time_of_a_pass_counts_with_the_least_speedup(
    candidate, seconds, requested, precision, expected
):
    """Twice as fast after a second of setup: 10 s become 1 + 5.

    1.5 s would become 1.75 s, so the pass stays with eager PyTorch.
    """
    assert autotune.expected_seconds(seconds, requested, "cpu", precision) == expected


def test_a_runtime_requested_by_name_is_used_whether_it_repays_or_not(candidate):
    assert make_runtime(backbone(Convolutions()), images(1), "openvino", 2, None).batch_size == 2
    assert make_runtime(backbone(Convolutions()), images(10**6), "eager", 2, None).name == "eager"


@pytest.mark.parametrize("requested", ["auto", "openvino"])
def test_baselines_are_not_tuned(candidate, monkeypatch, requested):
    """What everything else is measured by must not vary with a machine's load."""
    monkeypatch.setattr(autotune, "_seconds_per_image", None)
    baseline = backbone(Convolutions())
    baseline.spec = BASELINE
    runtime = make_runtime(baseline, images(10**6), requested, None, None)
    assert (runtime.name, runtime.batch_size, Stub.made) == (
        "eager",
        autotune.default_batch("cpu"),
        [],
    )


@pytest.mark.parametrize("factor", [1.0001, np.nan])
def test_a_runtime_with_other_features_is_not_used(candidate, monkeypatch, factor):
    monkeypatch.setattr(
        Stub,
        "embed",
        lambda self, crops, outputs: {
            DEFAULT: Eager(self.backbone, 64).embed(crops, outputs)[DEFAULT] * factor
        },
    )
    assert make_runtime(backbone(Convolutions()), images(10**6), "auto", 4, None).name == "eager"


def test_a_runtime_that_cannot_run_the_backbone_is_not_used(candidate, monkeypatch):
    def fail(self, crops, outputs):
        raise NotImplementedError

    monkeypatch.setattr(Stub, "embed", fail)
    assert make_runtime(backbone(Convolutions()), images(10**6), "auto", 4, None).name == "eager"


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_forward_pass_that_the_tracer_cannot_see_is_detected(name):
    """The tracer takes a result of numpy for a constant, which is right on the traced images."""

    class Hidden(nn.Module):
        def forward(self, x, outputs):
            return {DEFAULT: torch.from_numpy(x.numpy().mean((2, 3)))}

    assert make_runtime(backbone(Hidden()), images(10**6), name, 4, None).name == "eager"


def test_the_choice_is_saved_and_not_measured_again(candidate, monkeypatch, tmp_path):
    path = tmp_path / "speed.json"
    monkeypatch.setattr(
        autotune,
        "_seconds_per_image",
        lambda runtime, images: (
            {4: 3e-4, 16: 2e-4, 1: 5e-4}[runtime.batch_size]
            * (10 if runtime.name == "eager" else 1)
        ),
    )
    first = make_runtime(backbone(Convolutions()), images(10**5), "auto", None, path)
    assert load_choice(path) == Choice("openvino", 16, 2e-4) and first.batch_size == 16
    Stub.made = []
    monkeypatch.setattr(autotune, "_seconds_per_image", None)
    again = make_runtime(backbone(Convolutions()), images(10**5), "auto", None, path)
    assert again.batch_size == 16 and Stub.made == [16]
    few = make_runtime(backbone(Convolutions()), images(10), "auto", None, path)
    assert few.name == "eager", "ten images do not repay a second"


def test_a_choice_that_cannot_be_saved_or_read_is_only_lost(tmp_path):
    (tmp_path / "file").write_text("")
    save_choice(tmp_path / "file" / "speed.json", Choice("eager", 4, 1e-3))
    assert load_choice(tmp_path / "file" / "speed.json") is None
    (tmp_path / "old.json").write_text(json.dumps({"runtime": "eager"}))
    assert load_choice(tmp_path / "old.json") is None


def test_tuning_the_batch_size_takes_a_small_share_of_the_pass(monkeypatch):
    """At 1 s per image, 5 % of 20 images is 1 s: one other size is tried before the time is up."""
    tried, clock = [], iter(range(100))
    monkeypatch.setattr(autotune, "CANDIDATES", ())
    monkeypatch.setattr(
        autotune,
        "_seconds_per_image",
        lambda runtime, images: tried.append(runtime.batch_size) or 1.0,
    )
    monkeypatch.setattr(autotune.time, "perf_counter", lambda: 2 * next(clock) / 3)
    make_runtime(backbone(Convolutions()), images(20), "auto", None, None)
    assert tried == [4, 16]


def test_only_eager_runs_reduced_precisions():
    assert autotune.available(backbone(Convolutions(), "bfloat16")) == []
    assert {candidate.name for candidate in autotune.available(backbone(Convolutions()))} == {
        "openvino",
        "onnxruntime",
        "compile",
    }


class SimulatedCard:
    """Streams of a graphics card that only log what is requested of them, in order."""

    def __init__(self, monkeypatch) -> None:
        self.log: list[str] = []
        self.copies = 0
        card = self

        class Stream:
            def __init__(self, name="copying"):
                self.name = name

            def record_event(self):
                card.copies += 1
                card.log.append(f"copy {card.copies}")
                return card.copies

            def wait_event(self, event):
                card.log.append(f"wait {event}")

            def synchronize(self):
                card.log.append("synchronise")

        monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("computing"))
        monkeypatch.setattr(
            torch.Tensor,
            "record_stream",
            lambda tensor, stream: card.log.append(f"in use by {stream.name}"),
        )


def test_a_card_computes_a_batch_while_the_next_is_copied(monkeypatch):
    """Each copy begins before the one ahead of it is waited for; features are awaited once."""
    card, tested = SimulatedCard(monkeypatch), backbone(Convolutions())
    expected = Eager(tested, 4).embed(crops(10), [DEFAULT])[DEFAULT]
    on_card = Eager(tested, 4)
    on_card._prefetcher = Prefetcher(torch.device("cpu"))
    for _ in range(2):
        card.log.clear()
        card.copies = 0
        np.testing.assert_array_equal(on_card.embed(crops(10), [DEFAULT])[DEFAULT], expected)
        in_use = "in use by computing"
        assert card.log == [
            "copy 1",
            "copy 2",
            "wait 1",
            in_use,
            "copy 3",
            "wait 2",
            in_use,
            "wait 3",
            in_use,
            "synchronise",
        ]


def test_a_prefetched_batch_is_copied_again_when_it_is_halved(monkeypatch):
    """Ten images in batches of 4: the second does not fit, so 2 are copied from its start."""
    SimulatedCard(monkeypatch)
    tested = backbone(Convolutions())
    expected = Eager(tested, 10).embed(crops(10), [DEFAULT])[DEFAULT]
    on_card, sizes, real = Eager(tested, 4), [], tested.forward
    on_card._prefetcher = Prefetcher(torch.device("cpu"))

    def forward(batch, outputs):
        sizes.append(len(batch))
        if sizes == [4, 4]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch, outputs)

    monkeypatch.setattr(tested, "forward", forward)
    np.testing.assert_allclose(
        on_card.embed(crops(10), [DEFAULT])[DEFAULT], expected, rtol=0, atol=1e-5
    )
    assert sizes == [4, 4, 2, 2, 2]


def test_tf32_is_on_inside_the_forward_pass_and_off_after_it():
    seen = []

    class Looks(nn.Module):
        def forward(self, x, outputs):
            seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
            return {DEFAULT: x.mean((2, 3))}

    torch.backends.cudnn.allow_tf32 = False
    for precision in ("tf32", "float32"):
        backbone(Looks(), precision).embed(crops(1), [DEFAULT])
    assert seen == [(True, True), (False, False)]
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32


def test_every_runtime_that_can_be_requested_exists():
    names = ("eager", *(candidate.name for candidate in autotune.CANDIDATES))
    assert names == autotune.RUNTIMES
    assert all(
        dataclasses.is_dataclass(candidate) and candidate.speedup > 1
        for candidate in autotune.CANDIDATES
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_memory_that_a_forward_pass_frees_is_kept():
    """Five more passes through layers of 12 to 25 MB clear thousands of pages, or none if kept."""
    program = (
        "import resource, sys, torch\n"
        "from torch import nn\n"
        "from bob.extraction.runtimes.memory import keep_freed_memory\n"
        "assert keep_freed_memory() if sys.argv[1] == 'kept' else True\n"
        "net = nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 128, 1), nn.ReLU(),"
        " nn.Conv2d(128, 32, 1))\n"
        "def faults(times):\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(times): net(torch.zeros(4, 3, 112, 112))\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "with torch.inference_mode(): faults(3), print(faults(5))\n"
    )
    returned, kept = (
        int(
            subprocess.run(
                [sys.executable, "-c", program, how], capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("plain", "kept")
    )
    assert kept < 1_000 < 10_000 < returned
