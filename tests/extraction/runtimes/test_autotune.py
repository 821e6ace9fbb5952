"""Runtimes give eager PyTorch's features or are not used; autotuning picks the fastest."""

import contextlib
import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from bob.backbones.backbone import Backbone, Loaded
from bob.backbones.loaders.timm_features import TimmFeatures
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.errors import BackboneError
from bob.extraction.device import device_name
from bob.extraction.embedder import Embedder
from bob.extraction.machine_load import LoadMeter, MachineLoad
from bob.extraction.runtimes import autotune, candidates, openvino
from bob.extraction.runtimes.autotune import Tuned, TuningImages, tune
from bob.extraction.runtimes.candidates import Candidate, expected_seconds
from bob.extraction.runtimes.choices import Choice, ChoiceFile, Trial, saved_choices
from bob.extraction.runtimes.compiled import Compiled
from bob.extraction.runtimes.eager import Eager
from bob.extraction.runtimes.onnx import OnnxRuntime
from bob.extraction.runtimes.openvino import OpenVino
from bob.extraction.runtimes.prefetch import Prefetcher
from bob.extraction.runtimes.runtime import agree
from bob.extraction.runtimes.stated import RuntimeChoice
from bob.io.paths import CHECKOUT
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


def test_openvino_of_another_batch_size_gives_eager_features_too():
    reference = backbone(Convolutions())
    expected = Eager(reference, 5).embed(crops(5), [GRID])
    tested = OpenVino(reference, [GRID], 4)
    resized = tested.resized(3)
    assert (tested.batch_size, resized.batch_size) == (4, 3)
    for runtime in (resized, tested, tested.resized(1)):
        assert agree(runtime.embed(crops(5), [GRID]), expected)


def test_openvino_has_no_more_threads_than_pytorch(monkeypatch):
    """Where PyTorch has all cores, the number is OpenVINO's own."""
    assert openvino._thread_settings(8, 8) == openvino._thread_settings(16, 8) == {}
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    tested = OpenVino(backbone(Convolutions()), [DEFAULT], 4)
    compiled = tested._queue[0].get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert not compiled.get_property("ENABLE_CPU_PINNING")


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


class OtherStub(Stub):
    """Another one."""

    def __init__(self, backbone, outputs, batch_size):
        super().__init__(backbone, outputs, batch_size)
        self.name = "onnxruntime"


class Clock:
    """Speeds of runtimes in seconds per image, and the load of the machine, as a test sets them.

    `quiet_after` is the number of measurements in which another process takes a core; those take
    `disturbance` times as long.
    """

    def __init__(self, monkeypatch):
        self.speed = {"eager": 1e-3, "openvino": 1e-4, "onnxruntime": 1e-4}
        self.batch_factor = {}
        self.processor = {}  # seconds per image; without an entry, of two cores
        self.quiet_after, self.disturbance = 0, {}
        self.measured = []
        monkeypatch.setattr(autotune, "_timing", self.timing)
        monkeypatch.setattr(LoadMeter, "read", lambda meter: self.load())

    def timing(self, runtime, images, least=autotune.TIMINGS):
        self.measured.append((runtime.name, runtime.batch_size))
        disturbed = len(self.measured) <= self.quiet_after
        factor = self.disturbance.get(runtime.name, 1) if disturbed else 1
        seconds = self.speed[runtime.name] * self.batch_factor.get(runtime.batch_size, 1)
        processor = self.processor.get(runtime.name, 2 * seconds)
        return autotune._Timing(seconds * factor, processor)

    def load(self):
        disturbed = 0 < len(self.measured) <= self.quiet_after
        return MachineLoad(1.0, 1.0, 0.0) if disturbed else MachineLoad(2.0, 0.0, 0.0)


@pytest.fixture
def clock(monkeypatch):
    """Eager PyTorch takes 1 ms per image, candidates 0.1 ms."""
    return Clock(monkeypatch)


@pytest.fixture
def candidate(monkeypatch, clock):
    """One candidate that takes a second to prepare and is usually twice as fast."""
    Stub.made = []
    only = Candidate("openvino", Stub, "torch", setup_seconds=1.0, speedup=2.0)
    monkeypatch.setattr(candidates, "CANDIDATES", (only,))
    return only


@pytest.fixture
def two_candidates(monkeypatch, candidate):
    """A second candidate, which takes half a second."""
    OtherStub.made = []
    other = Candidate("onnxruntime", OtherStub, "torch", setup_seconds=0.5, speedup=2.0)
    monkeypatch.setattr(candidates, "CANDIDATES", (candidate, other))


def images(total: int) -> TuningImages:
    return TuningImages(crops(16), total, [DEFAULT])


def tuned(total: int, requested="auto", batch_size=None, **others) -> Tuned:
    return tune(backbone(Convolutions()), images(total), requested, batch_size, **others)


@pytest.mark.parametrize(("total", "name"), [(1_999, "eager"), (2_001, "openvino")])
def test_a_candidate_is_prepared_where_all_images_of_the_process_repay_it(candidate, total, name):
    """It is expected to save 0.5 ms of 1 ms per image: 2,000 images repay its second."""
    assert tuned(total).runtime.name == name


@pytest.mark.parametrize(("total", "tried"), [(104_000, False), (106_000, True)])
def test_another_candidate_is_tried_where_a_small_further_gain_repays_it(
    two_candidates, total, tried
):
    """The best takes 0.1 ms: 5 % more speed saves 4.76 µs an image, and half a second by 105,000
    images."""
    trial = next(t for t in tuned(total, batch_size=4).choice.trials if t.runtime == "onnxruntime")
    assert (trial.problem is None) == tried
    if not tried:
        assert trial.text == "onnxruntime, batches of 4: not tried: too few images to repay it"


def test_a_runtime_for_another_batch_size_is_made_out_of_the_first(candidate, monkeypatch):
    sizes = []

    def resized(runtime, batch_size):
        sizes.append((runtime.batch_size, batch_size))
        return Stub(runtime.backbone, [DEFAULT], batch_size)

    resizable = dataclasses.replace(candidate, resized=resized)
    monkeypatch.setattr(candidates, "CANDIDATES", (resizable,))
    tuned(10**6)
    assert sizes == [(4, 16), (4, 1)]


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
def test_the_expected_time_of_a_run_counts_with_the_usual_speedup(
    candidate, seconds, requested, precision, expected
):
    """Twice as fast after a second of setup: 10 s become 1 + 5.

    1.5 s would become 1.75 s, so the run stays with eager PyTorch.
    """
    assert expected_seconds(seconds, requested, "cpu", precision) == expected


def test_a_runtime_requested_by_name_is_used_whether_it_repays_or_not(candidate):
    assert tuned(1, "openvino", 2).runtime.batch_size == 2
    assert tuned(10**6, "eager", 2).runtime.name == "eager"


@pytest.mark.parametrize("requested", ["auto", "openvino"])
def test_baselines_are_not_tuned(candidate, clock, requested):
    """What everything else is measured by must not vary with a machine's load."""
    baseline = backbone(Convolutions())
    baseline.spec = BASELINE
    runtime = tune(baseline, images(10**6), requested).runtime
    assert (runtime.name, runtime.batch_size) == ("eager", autotune.BASELINE_BATCH)
    assert (Stub.made, clock.measured) == ([], [])


@pytest.mark.parametrize(("factor", "difference"), [(1.0001, "1.0e-04"), (np.nan, "inf")])
def test_a_runtime_with_other_features_is_not_used(candidate, monkeypatch, factor, difference):
    monkeypatch.setattr(
        Stub,
        "embed",
        lambda self, crops, outputs: {
            DEFAULT: Eager(self.backbone, 64).embed(crops, outputs)[DEFAULT] * factor
        },
    )
    result = tuned(10**6, batch_size=4)
    assert result.runtime.name == "eager"
    assert result.choice.trials[1].problem == (
        f"features differ from eager PyTorch's by {difference} of the largest value"
    )


def test_a_runtime_that_cannot_run_the_backbone_is_not_used(candidate, monkeypatch):
    def fail(self, crops, outputs):
        raise NotImplementedError("no such operation\nand more")

    monkeypatch.setattr(Stub, "embed", fail)
    result = tuned(10**6, batch_size=4)
    assert result.runtime.name == "eager"
    problem = result.choice.trials[1].problem
    assert problem == "cannot run it: NotImplementedError: no such operation"


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_forward_pass_that_the_tracer_cannot_see_is_detected(name):
    """The tracer takes a result of numpy for a constant, which is right on the traced images."""

    class Hidden(nn.Module):
        def forward(self, x, outputs):
            return {DEFAULT: torch.from_numpy(x.numpy().mean((2, 3)))}

    assert tune(backbone(Hidden()), images(10**6), name, 4).runtime.name == "eager"


def test_the_fastest_batch_size_is_chosen_where_the_search_repays(candidate, clock, monkeypatch):
    """To time another size takes as long as 32 images, and saves 3 % of all at best."""
    monkeypatch.setattr(
        candidates, "CANDIDATES", (dataclasses.replace(candidate, setup_seconds=0.1),)
    )
    clock.batch_factor = {4: 1.5, 16: 1.0, 1: 2.0}
    result = tuned(10**6)
    assert (result.runtime.batch_size, Stub.made) == (16, [4, 16, 1])
    Stub.made = []
    assert (tuned(1_000).runtime.batch_size, Stub.made) == (4, [4])


@pytest.mark.parametrize(
    ("side_px", "sizes", "timed"),
    [(32, (4, 16, 1), 16), (224, (4, 16, 1), 16), (448, (1, 4), 4), (2000, (1,), 1)],
)
def test_batches_of_larger_images_have_no_more_pixels(side_px, sizes, timed):
    """448 x 448 are four times the pixels of 224 x 224, 2000 x 2000 are 80 times as many."""
    tested = backbone(Convolutions())
    tested.geometry = dataclasses.replace(tested.geometry, width_px=side_px, height_px=side_px)
    assert autotune.batch_sizes(tested) == sizes
    assert len(autotune.timed_crops(tested, images(100))) == timed


@pytest.mark.parametrize(("threads", "sizes"), [(1, [4, 16, 1]), (2, [4, 1]), (16, [4, 1])])
def test_a_size_at_which_threads_would_rest_while_it_is_timed_is_not_tried(
    candidate, monkeypatch, threads, sizes
):
    """16 images are one batch of 16, which one of two threads computes while the other waits."""
    streamed = dataclasses.replace(candidate, setup_seconds=0.1, is_streamed=True)
    monkeypatch.setattr(candidates, "CANDIDATES", (streamed,))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    tuned(10**6)
    assert Stub.made == sizes


@pytest.mark.parametrize(("seconds", "times"), [(1.4e-3, 1), (1.6e-3, 2)])
def test_eager_pytorch_is_timed_once_where_another_runtime_is_far_ahead(
    candidate, clock, seconds, times
):
    """It takes 2.2 ms per image: 1.57 or 1.38 times as long as the other one."""
    clock.speed |= {"eager": 2.2e-3, "openvino": seconds}
    result = tuned(10**6, batch_size=4)
    assert result.runtime.name == "openvino"
    assert clock.measured.count(("eager", 4)) == times


def test_eager_pytorch_is_kept_where_the_gain_is_noise(candidate, clock):
    clock.speed["openvino"] = 0.98e-3
    assert tuned(10**6, batch_size=4).runtime.name == "eager"


# --- saved choices

SAVED = Choice(
    "openvino", 16, 1e-4, (Trial("eager", 4, 0.0, 1e-3), Trial("openvino", 16, 1.0, 1e-4))
)


def test_a_saved_choice_is_prepared_and_timed_once(candidate, clock):
    result = tuned(10**5, saved=SAVED)
    assert (result.runtime.name, result.runtime.batch_size) == ("openvino", 16)
    assert (Stub.made, clock.measured) == ([16], [("openvino", 16)])
    assert result.choice == SAVED


@pytest.mark.parametrize(("total", "name"), [(1_110, "eager"), (1_112, "openvino")])
def test_a_saved_choice_is_used_where_all_images_repay_its_preparation(candidate, total, name):
    """A second against 0.9 ms per image: 1,111 images."""
    assert tuned(total, saved=SAVED).runtime.name == name


@pytest.mark.parametrize("factor", [1.31, 1 / 1.31])
def test_all_candidates_are_tried_again_where_the_saved_speed_has_changed(candidate, clock, factor):
    clock.speed["openvino"] *= factor
    result = tuned(10**6, saved=SAVED)
    assert result.choice.seconds_per_image == pytest.approx(1e-4 * factor)
    assert ("eager", 4) in clock.measured


def test_a_disturbed_check_changes_no_saved_choice(candidate, clock):
    clock.speed["openvino"], clock.quiet_after = 5e-4, 1
    assert tuned(10**6, saved=SAVED).choice == SAVED


def test_a_saved_runtime_that_no_longer_agrees_is_replaced(candidate, monkeypatch):
    def fail(self, crops, outputs):
        raise NotImplementedError

    monkeypatch.setattr(Stub, "embed", fail)
    assert tuned(10**6, saved=SAVED).choice.runtime == "eager"


# --- disturbed measurements


def test_a_disturbed_race_is_repeated_and_ends_with_the_right_runtime(two_candidates, clock):
    """Another process slows the first three measurements, by 20 that of the fastest runtime."""
    clock.speed |= {"openvino": 1e-4, "onnxruntime": 2e-4}
    clock.quiet_after, clock.disturbance = 3, {"openvino": 20, "eager": 1.5}
    result = tuned(10**7, batch_size=4)
    assert result.runtime.name == "openvino" and result.is_settled
    assert result.choice.seconds_per_image == 1e-4
    assert len(clock.measured) == 6, "three runtimes, and one quiet round of them"


def test_on_a_machine_that_is_never_quiet_processor_seconds_decide(two_candidates, clock):
    """Others slow OpenVINO by 20, so that eager PyTorch takes less time, but not less work."""
    clock.speed |= {"openvino": 1e-4, "onnxruntime": 2e-4}
    clock.quiet_after, clock.disturbance = 10**6, {"openvino": 20}
    result = tuned(10**7, batch_size=4)
    assert result.runtime.name == "openvino" and not result.is_settled
    assert result.choice.seconds_per_image == pytest.approx(20 * 1e-4)
    assert len(clock.measured) == 3 * (1 + autotune.QUIET_ROUNDS)


def test_on_a_quiet_machine_time_decides_and_not_processor_seconds(two_candidates, clock):
    clock.processor = {"eager": 1e-6}
    assert tuned(10**7, batch_size=4).runtime.name == "openvino"


def embedder(total: int, cache) -> Embedder:
    return Embedder([backbone(Convolutions())], "auto", None, cache, total)


def test_a_disturbed_choice_is_not_saved_and_repeated_when_the_machine_is_quiet(
    two_candidates, clock, tmp_path
):
    """The other process ends after the first tuning; two blocks later the right runtime runs.

    OpenVINO takes less time than ONNX Runtime and more processor seconds.
    """
    clock.speed |= {"openvino": 1e-4, "onnxruntime": 2e-4}
    clock.processor = {"openvino": 3e-4, "onnxruntime": 2e-4}
    clock.quiet_after, clock.disturbance = 10**6, {"openvino": 20}
    tested, names = embedder(10**7, tmp_path), []
    for _ in range(4):
        _, effort = tested.embed(0, crops(16), [DEFAULT], [DEFAULT])
        names.append(effort.runtime)
        clock.quiet_after = 0
        if len(names) == 1:
            assert not list(tmp_path.rglob("*.json"))
    assert names == ["onnxruntime", "onnxruntime", "openvino", "openvino"]
    ((conditions, choice),) = saved_choices(tmp_path)
    assert choice.runtime == "openvino" and conditions["outputs"] == ["default"]
    assert Stub.made.count(4) == 1, "prepared runtimes are measured again, not made again"


def test_a_choice_is_shared_by_all_weights_of_an_architecture(candidate, clock, tmp_path):
    first, second = embedder(10**6, tmp_path), embedder(10**6, tmp_path)
    first.embed(0, crops(16), [DEFAULT], [DEFAULT])
    ((_, saved),) = saved_choices(tmp_path)
    clock.measured = []
    second.backbone.module.body[0].weight.data *= 2
    second.embed(0, crops(16), [DEFAULT], [DEFAULT])
    assert clock.measured == [("openvino", saved.batch_size)]


def test_processes_of_one_run_use_the_runtime_that_the_first_of_them_chose(
    two_candidates, clock, tmp_path
):
    """Even a disturbed choice stands, where features in one store must be of one runtime.

    For the second process OpenVINO would be faster again; it measures nothing.
    """
    clock.speed |= {"openvino": 1e-4, "onnxruntime": 2e-4}
    clock.processor = {"openvino": 3e-4, "onnxruntime": 2e-4}
    clock.quiet_after, clock.disturbance = 10**6, {"openvino": 20}
    first, second = (
        dataclasses.replace(embedder(10**7, tmp_path), shares_choice=True) for _ in range(2)
    )
    names = [first.embed(0, crops(16), [DEFAULT], [DEFAULT])[1].runtime]
    clock.quiet_after, clock.measured = 0, []
    for tested in (second, second, first, first):
        names.append(tested.embed(0, crops(16), [DEFAULT], [DEFAULT])[1].runtime)
    assert set(names) == {"onnxruntime"} and clock.measured == []
    assert {tested.runtimes[0].batch_size for tested in (first, second)} == {4}


def test_a_process_waits_while_another_chooses(candidate, tmp_path):
    tested = dataclasses.replace(embedder(10**6, tmp_path), shares_choice=True)
    file = tested._choice_file(tested.backbone, [DEFAULT])
    with ThreadPoolExecutor(1) as pool:
        with file.exclusively():
            later = pool.submit(tested.embed, 0, crops(16), [DEFAULT], [DEFAULT])
            file.save(Choice("eager", 2, 1.0))
        assert later.result()[1].runtime == "eager"
    assert tested.runtimes[0].batch_size == 2


def test_a_chosen_runtime_that_is_not_here_is_replaced_by_eager(candidate, clock, tmp_path):
    tested = dataclasses.replace(embedder(10**6, tmp_path), shares_choice=True)
    tested._choice_file(tested.backbone, [DEFAULT]).save(Choice("onnxruntime", 16, 1.0))
    assert tested.embed(0, crops(16), [DEFAULT], [DEFAULT])[1].runtime == "eager"
    assert clock.measured == []


def planned_embedder(cache, threads: int, model: str | None = None) -> tuple[Embedder, list[str]]:
    """Return an embedder whose plan states OpenVINO in batches of 2, and the notices that it gets.

    Its cache remembers ONNX Runtime in batches of 16.
    """
    notices: list[str] = []
    model = model or device_name(torch.device("cpu"))
    tested = dataclasses.replace(
        embedder(10**6, cache),
        shares_choice=True,
        stated={model: RuntimeChoice(runtime="openvino", batch_size=2, threads=threads)},
        notice=notices.append,
    )
    tested._choice_file(tested.backbone, [DEFAULT]).save(Choice("onnxruntime", 16, 1.0))
    return tested, notices


def embeds_with(tested: Embedder) -> tuple[str, int]:
    """Return the runtime and the batch size of an embedder."""
    effort = tested.embed(0, crops(16), [DEFAULT], [DEFAULT])[1]
    return effort.runtime, effort.batch_size


def test_what_the_plan_states_comes_before_what_the_cache_remembers(
    two_candidates, clock, tmp_path
):
    tested, notices = planned_embedder(tmp_path, torch.get_num_threads())
    assert embeds_with(tested) == ("openvino", 2)
    assert (notices, clock.measured, OtherStub.made) == ([], [], [])


def test_what_the_plan_states_of_another_model_does_not_hold_here(two_candidates, tmp_path):
    tested, notices = planned_embedder(tmp_path, torch.get_num_threads(), "Another processor")
    assert embeds_with(tested) == ("onnxruntime", 16) and notices == []


def test_a_process_with_other_threads_than_planned_follows_and_says_so(two_candidates, tmp_path):
    here = torch.get_num_threads()
    tested, notices = planned_embedder(tmp_path, here + 1)
    assert embeds_with(tested) == ("openvino", 2)
    (notice,) = notices
    assert f"states runtimes with {here + 1} threads on" in notice
    assert f"this process has {here}: features agree to 1e-5, not byte by byte" in notice


@pytest.mark.parametrize("problem", ["is not usable here", "cannot run it: ValueError: no graph"])
def test_eager_takes_the_place_of_a_planned_runtime_that_fails_and_the_user_learns_why(
    candidate, clock, tmp_path, monkeypatch, problem
):
    def fail(*_):
        raise ValueError("no graph")

    others = (dataclasses.replace(candidate, make=fail),) if "graph" in problem else ()
    monkeypatch.setattr(candidates, "CANDIDATES", others)
    tested, notices = planned_embedder(tmp_path, torch.get_num_threads())
    assert embeds_with(tested) == ("eager", 2) and clock.measured == []
    (notice,) = notices
    assert notice.startswith("backbone 'raw_pixels': eager PyTorch takes the place of the runtime")
    assert f"({problem}): features agree to 1e-5" in notice


def test_a_runtime_outlives_its_pass(candidate, tmp_path):
    tested = embedder(10**5, tmp_path)
    tested.embed(0, crops(16), [DEFAULT], [DEFAULT])
    made = list(Stub.made)
    for _ in range(3):
        tested.embed(0, crops(16), [DEFAULT], [DEFAULT])
    assert made and Stub.made == made


def test_decoding_pauses_while_runtimes_are_measured(candidate, clock, monkeypatch):
    paused = []

    @contextlib.contextmanager
    def pause():
        paused.append(len(clock.measured))
        yield
        paused.append(len(clock.measured))

    tune(backbone(Convolutions()), dataclasses.replace(images(3_000), pause=pause), "auto", 4)
    assert paused == [0, 2]


def test_a_choice_that_cannot_be_saved_or_read_is_only_lost(tmp_path):
    (tmp_path / "file").write_text("")
    unusable = ChoiceFile(tmp_path / "file" / "runtimes", {})
    unusable.save(SAVED)
    assert unusable.load() is None
    file = ChoiceFile(tmp_path / "runtimes", {"input_px": 224})
    assert file.load() is None
    file.save(SAVED)
    (tmp_path / "runtimes" / "old.json").write_text(json.dumps({"runtime": "eager"}))
    assert file.load() == SAVED
    assert saved_choices(tmp_path) == [({"input_px": 224}, SAVED)]
    file.path.write_text(json.dumps({"runtime": "eager"}))
    assert file.load() is None


def test_only_eager_runs_reduced_precisions():
    assert candidates.usable_candidates("bfloat16", "cpu") == []
    names = {candidate.name for candidate in candidates.usable_candidates("float32", "cpu")}
    assert names == {"openvino", "onnxruntime", "compile"}


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
    names = ("eager", *(candidate.name for candidate in candidates.CANDIDATES))
    assert names == autotune.RUNTIMES
    assert all(
        dataclasses.is_dataclass(candidate) and candidate.speedup > 1
        for candidate in candidates.CANDIDATES
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_memory_that_a_forward_pass_frees_is_kept():
    """Passes through layers of 12 to 25 MB clear thousands of pages; soon none where it is kept.

    In new processes: one that forks inherits what its allocator has learnt from freed blocks.
    """
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
        "with torch.inference_mode(): faults(10), print(faults(5))\n"
    )
    returned, kept = (
        int(subprocess.check_output([sys.executable, "-c", program, how], cwd=CHECKOUT))
        for how in ("plain", "kept")
    )
    assert kept < 1_000 < 10_000 < returned
