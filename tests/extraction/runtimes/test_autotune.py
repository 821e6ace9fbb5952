"""Runtimes: each gives eager PyTorch's rows or is not used, and the race picks the fastest that the images can repay."""

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
from bob.backbones.loaders.timm import TimmRows
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.errors import BackboneError
from bob.extraction.runtimes import autotune
from bob.extraction.runtimes.autotune import Choice, Images, Rival, make_ready, recall, remember
from bob.extraction.runtimes.compiled import Compiled
from bob.extraction.runtimes.eager import Eager
from bob.extraction.runtimes.onnx import OnnxRuntime
from bob.extraction.runtimes.openvino import OpenVino
from bob.extraction.runtimes.prefetch import CopiedAhead
from bob.extraction.runtimes.runtime import agrees
from bob.registry.registry import load_registry

FLOOR = load_registry().backbones["raw_pixels"]
OWN = FLOOR.model_copy(update={"loader": "python"})
SIDE = 32


def backbone(module: nn.Module, precision: str = "float32") -> Backbone:
    loaded = Loaded(
        module,
        Geometry(SIDE, SIDE, 1.0, "center", "bilinear"),
        Normalisation((0.4,) * 3, (0.2,) * 3),
        "test",
    )
    return Backbone(OWN, loaded, "cpu", precision)


class Convolutions(nn.Module):
    """A small network with what runtimes fuse: strided and grouped convolutions, BatchNorm with statistics of its own, activations."""

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

    def forward(self, x, poolings):
        y = self.body(x)
        rows = {"default": y.mean((2, 3)), "mean_patch": y.amax((2, 3))}
        return {pooling: rows[pooling] for pooling in poolings}


def small_vit() -> nn.Module:
    import timm

    torch.manual_seed(0)
    return TimmRows(timm.create_model("test_vit", num_classes=0, img_size=SIDE), "vit")


def crops(n: int) -> torch.Tensor:
    return torch.randint(
        256, (n, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )


@pytest.mark.parametrize("runtime", [OpenVino, OnnxRuntime])
@pytest.mark.parametrize(
    ("module", "poolings"),
    [(Convolutions, ["default", "mean_patch"]), (small_vit, ["default", "cls", "cls+mean_patch"])],
)
def test_rows_are_eager_s_whatever_the_number_of_images(runtime, module, poolings):
    """9 images in batches of 4: two full and one of a single image. One pooling alone, too."""
    one = backbone(module())
    expected = Eager(one, 9).embed(crops(9), poolings)
    made = runtime(one, poolings, 4)
    assert agrees(made.embed(crops(9), poolings), expected)
    (alone,) = made.embed(crops(1), poolings[1:2]).values()
    np.testing.assert_allclose(
        alone[0], expected[poolings[1]][0], rtol=0, atol=1e-5 * np.abs(expected[poolings[1]]).max()
    )


def test_a_compiled_backbone_gives_eager_s_rows():
    one = backbone(Convolutions())
    assert agrees(
        Compiled(one, ["default"], 4).embed(crops(6), ["default"]),
        Eager(one, 6).embed(crops(6), ["default"]),
    )


@pytest.mark.parametrize("runtime", [OpenVino, OnnxRuntime, Compiled])
def test_rows_that_are_not_finite_are_refused_by_every_runtime(runtime):
    class Broken(nn.Module):
        def forward(self, x, poolings):
            return {"default": x.mean((2, 3)) / (x - x).mean((2, 3))}

    with pytest.raises(BackboneError, match="hold NaN or infinity"):
        runtime(backbone(Broken()), ["default"], 2).embed(crops(2), ["default"])


@pytest.mark.parametrize(
    ("rows", "same"),
    [
        ([[1.0, 2.0]], True),
        ([[1.0, 2.00001]], True),
        ([[1.0, 2.0001]], False),
        ([[1.0]], False),
        ([[1.0, np.nan]], False),
    ],
)
def test_agreement_is_relative_to_the_largest_value(rows, same):
    """1e-5 of 2 is 2e-5: 2.00001 is within it, 2.0001 is not."""
    assert agrees({"default": np.array(rows)}, {"default": np.array([[1.0, 2.0]])}) == same


class Stub:
    """A runtime that is eager's rows, changed; it says how often it was made."""

    made: list[int]

    def __init__(self, inner, poolings, batch_size):
        type(self).made.append(batch_size)
        self.name, self.backbone, self.batch_size, self.factor = "openvino", inner, batch_size, 1.0

    def embed(self, images, poolings):
        return {
            pooling: rows * self.factor
            for pooling, rows in Eager(self.backbone, 64).embed(images, poolings).items()
        }


@pytest.fixture
def rival(monkeypatch):
    """One rival, said to take a second to make ready and to be twice as fast; eager takes 1 ms per image, the rival 0.1 ms."""
    Stub.made = []
    one = Rival("openvino", Stub, "torch", setup_seconds=1.0, gain=2.0)
    monkeypatch.setattr(autotune, "RIVALS", (one,))
    monkeypatch.setattr(
        autotune, "_timed", lambda runtime, images: 1e-3 if runtime.name == "eager" else 1e-4
    )
    return one


def images(total: int) -> Images:
    return Images(crops(16), total, ["default"])


@pytest.mark.parametrize(("total", "name"), [(1_999, "eager"), (2_001, "openvino")])
def test_a_runtime_is_made_ready_where_the_images_repay_it(rival, total, name):
    """At 1 ms per image it saves half a millisecond each, so its second is repaid by 2,000 images."""
    assert make_ready(backbone(Convolutions()), images(total), "auto", None, None).name == name


@pytest.mark.parametrize(
    ("seconds", "asked", "precision", "expected"),
    [
        (10, "auto", "float32", 6),
        (10, "openvino", "float32", 6),
        (10, "eager", "float32", 10),
        (10, "auto", "bfloat16", 10),
        (1.5, "auto", "float32", 1.5),
    ],
)
def test_a_pass_is_foreseen_by_what_a_rival_gains_at_the_least(
    rival, seconds, asked, precision, expected
):
    """Twice as fast after a second of setup: 10 s become 1 + 5; 1.5 s would become 1.75, so that it stays eager's."""
    assert autotune.foreseen(seconds, asked, "cpu", precision) == expected


def test_what_is_asked_for_is_taken_whether_it_repays_or_not(rival):
    assert make_ready(backbone(Convolutions()), images(1), "openvino", 2, None).batch_size == 2
    assert make_ready(backbone(Convolutions()), images(10**6), "eager", 2, None).name == "eager"


@pytest.mark.parametrize("asked", ["auto", "openvino"])
def test_floors_do_not_race(rival, monkeypatch, asked):
    """What everything else is measured by varies with no machine's load."""
    monkeypatch.setattr(autotune, "_timed", None)
    floor = backbone(Convolutions())
    floor.spec = FLOOR
    chosen = make_ready(floor, images(10**6), asked, None, None)
    assert (chosen.name, chosen.batch_size, Stub.made) == (
        "eager",
        autotune.default_batch("cpu"),
        [],
    )


@pytest.mark.parametrize("factor", [1.0001, np.nan])
def test_a_runtime_with_other_rows_is_not_used(rival, monkeypatch, factor):
    monkeypatch.setattr(
        Stub,
        "embed",
        lambda self, images, poolings: {
            "default": Eager(self.backbone, 64).embed(images, poolings)["default"] * factor
        },
    )
    assert make_ready(backbone(Convolutions()), images(10**6), "auto", 4, None).name == "eager"


def test_a_runtime_that_cannot_run_the_backbone_is_not_used(rival, monkeypatch):
    def fail(self, images, poolings):
        raise NotImplementedError

    monkeypatch.setattr(Stub, "embed", fail)
    assert make_ready(backbone(Convolutions()), images(10**6), "auto", 4, None).name == "eager"


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_forward_that_the_tracer_cannot_see_is_found_out(name):
    """Through numpy: the tracer takes its result for a constant, and on the very images that it traced all would look well."""

    class Hidden(nn.Module):
        def forward(self, x, poolings):
            return {"default": torch.from_numpy(x.numpy().mean((2, 3)))}

    assert make_ready(backbone(Hidden()), images(10**6), name, 4, None).name == "eager"


def test_the_winner_is_remembered_and_not_raced_again(rival, monkeypatch, tmp_path):
    memory = tmp_path / "speed.json"
    monkeypatch.setattr(
        autotune,
        "_timed",
        lambda runtime, images: (
            {4: 3e-4, 16: 2e-4, 1: 5e-4}[runtime.batch_size]
            * (10 if runtime.name == "eager" else 1)
        ),
    )
    first = make_ready(backbone(Convolutions()), images(10**5), "auto", None, memory)
    assert recall(memory) == Choice("openvino", 16, 2e-4) and first.batch_size == 16
    Stub.made = []
    monkeypatch.setattr(autotune, "_timed", None)
    assert make_ready(
        backbone(Convolutions()), images(10**5), "auto", None, memory
    ).batch_size == 16 and Stub.made == [16]
    assert make_ready(backbone(Convolutions()), images(10), "auto", None, memory).name == "eager", (
        "ten images do not repay a second"
    )


def test_what_cannot_be_remembered_costs_only_the_memory(tmp_path):
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file" / "speed.json", Choice("eager", 4, 1e-3))
    assert recall(tmp_path / "file" / "speed.json") is None
    (tmp_path / "old.json").write_text(json.dumps({"runtime": "eager"}))
    assert recall(tmp_path / "old.json") is None


def test_finding_the_batch_size_takes_little_of_the_pass(monkeypatch):
    """At 1 s per image, 5 % of 20 images is 1 s: one other size is tried, and then the time is up."""
    tried, clock = [], iter(range(100))
    monkeypatch.setattr(autotune, "RIVALS", ())
    monkeypatch.setattr(
        autotune, "_timed", lambda runtime, images: tried.append(runtime.batch_size) or 1.0
    )
    monkeypatch.setattr(autotune.time, "perf_counter", lambda: 2 * next(clock) / 3)
    make_ready(backbone(Convolutions()), images(20), "auto", None, None)
    assert tried == [4, 16]


def test_reduced_precision_is_eager_s_alone():
    assert autotune.available(backbone(Convolutions(), "bfloat16")) == []
    assert {rival.name for rival in autotune.available(backbone(Convolutions()))} == {
        "openvino",
        "onnxruntime",
        "compile",
    }


class Card:
    """Streams of a graphics card that is not there: what is asked of them, in order."""

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
            lambda tensor, stream: card.log.append(f"kept for {stream.name}"),
        )


def test_a_card_computes_a_batch_while_the_next_is_copied(monkeypatch):
    """Each batch's copy is begun before the one ahead of it is waited for, and the rows are waited for once, at the end."""
    card, one = Card(monkeypatch), backbone(Convolutions())
    expected = Eager(one, 4).embed(crops(10), ["default"])["default"]
    on_card = Eager(one, 4)
    on_card._ahead = CopiedAhead(torch.device("cpu"))
    for _ in range(2):
        card.log.clear()
        card.copies = 0
        np.testing.assert_array_equal(on_card.embed(crops(10), ["default"])["default"], expected)
        kept = "kept for computing"
        assert card.log == [
            "copy 1",
            "copy 2",
            "wait 1",
            kept,
            "copy 3",
            "wait 2",
            kept,
            "wait 3",
            kept,
            "synchronise",
        ]


def test_a_batch_that_was_copied_ahead_is_copied_anew_when_it_is_halved(monkeypatch):
    """Ten images in batches of 4: the second does not fit, so that 2 are taken from where it began."""
    Card(monkeypatch)
    one = backbone(Convolutions())
    expected = Eager(one, 10).embed(crops(10), ["default"])["default"]
    on_card, sizes, real = Eager(one, 4), [], one.forward
    on_card._ahead = CopiedAhead(torch.device("cpu"))

    def forward(batch, poolings):
        sizes.append(len(batch))
        if sizes == [4, 4]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch, poolings)

    monkeypatch.setattr(one, "forward", forward)
    np.testing.assert_allclose(
        on_card.embed(crops(10), ["default"])["default"], expected, rtol=0, atol=1e-5
    )
    assert sizes == [4, 4, 2, 2, 2]


def test_tf32_is_on_inside_the_forward_and_off_after_it():
    seen = []

    class Looks(nn.Module):
        def forward(self, x, poolings):
            seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
            return {"default": x.mean((2, 3))}

    torch.backends.cudnn.allow_tf32 = False
    for precision in ("tf32", "float32"):
        backbone(Looks(), precision).embed(crops(1), ["default"])
    assert seen == [(True, True), (False, False)]
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32


def test_every_runtime_that_can_be_asked_for_exists():
    assert ("eager", *(rival.name for rival in autotune.RIVALS)) == autotune.RUNTIMES
    assert all(dataclasses.is_dataclass(rival) and rival.gain > 1 for rival in autotune.RIVALS)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone can be told")
def test_memory_that_a_forward_gives_back_is_kept():
    """Five more passes through layers of 12 to 25 MB: without the allocator's leave each clears thousands of pages, with it none."""
    program = (
        "import resource, sys, torch; from torch import nn; from bob.extraction.runtimes.memory import keep_memory\n"
        "assert keep_memory() if sys.argv[1] == 'kept' else True\n"
        "net = nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 128, 1), nn.ReLU(), nn.Conv2d(128, 32, 1))\n"
        "def faults(times):\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(times): net(torch.zeros(4, 3, 112, 112))\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "with torch.inference_mode(): faults(3), print(faults(5))\n"
    )
    given_back, kept = (
        int(
            subprocess.run(
                [sys.executable, "-c", program, how], capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("plain", "kept")
    )
    assert kept < 1_000 < 10_000 < given_back
