"""Corruptions: the library's own pixels, the same whatever the order, metrics by hand, the protocol's known answers, from a dataset to its rows."""

import threading
from io import BytesIO

import imagecorruptions
import numpy as np
import pytest
from PIL import Image

from bob.datasets import corruptions as module
from bob.datasets.corruptions import CORRUPTION_FAMILIES, corrupt_image, corrupted_split
from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError, UndefinedError
from bob.features.store import Effort, Features
from bob.metrics import metric_named
from bob.metrics.corruptions import corruption_drop, corruption_error
from bob.outcomes import CorruptionResults
from bob.protocols.corruptions import corruptions
from bob.protocols.protocol import Problem
from bob.specs import BackboneSpec, LinearSettings, TaskSpec
from bob.specs.settings import CorruptionsSettings
from bob.wiring.corruptions import CORRUPTIONS

PROBE = LinearSettings(log10_c=(-2.0, 2.0, 3), held_out=0.25, tolerance=1e-3)
SETTINGS = CorruptionsSettings(
    families=("noise", "digital"), severities=(1, 5), images=None, side_px=32, probe=PROBE
)
FLOOR = BackboneSpec(
    name="raw_pixels", family="baseline", loader="baseline", architecture="raw_pixels"
)


def picture(seed: int = 0, width: int = 48, height: int = 32) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(
        0, 256, (height // 8, width // 8, 3), dtype=np.uint8
    )
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def split(n: int = 3, **facts: object) -> Split:
    def read(i: int) -> bytes:
        file = BytesIO()
        picture(i).save(file, "PNG")
        return file.getvalue()

    ids = [f"image{i}" for i in range(n)]
    return Split(ids, np.arange(n) % 2, [f"content{i}" for i in range(n)], read, **facts)  # type: ignore[arg-type]


# --- images


def test_the_families_are_the_library_s() -> None:
    for family, names in CORRUPTION_FAMILIES.items():
        assert list(names) == imagecorruptions.get_corruption_names(
            "validation" if family == "extra" else family
        )


@pytest.mark.parametrize("name", [name for names in CORRUPTION_FAMILIES.values() for name in names])
def test_pixels_are_the_library_s(name: str) -> None:
    """At the working size already, so that only the corruption changes the image."""
    for severity in (1, 5):
        found = np.asarray(corrupt_image(picture(), name, severity, 32, seed=7))
        np.random.seed(7)
        options = {"seed": 7} if name in module.SEEDED else {}
        assert np.array_equal(
            found, imagecorruptions.corrupt(np.asarray(picture()), severity, name, **options)
        )
        assert not np.array_equal(found, np.asarray(picture()))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((64, 64), (32, 32)), ((100, 50), (64, 32)), ((20, 30), (32, 48)), ((31, 4000), (32, 4129))],
)
def test_the_shorter_side_is_resized(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert corrupt_image(Image.new("RGB", size), "contrast", 1, 32, 0).size == expected


def test_rows_do_not_depend_on_order_threads_or_the_global_generator() -> None:
    several = corrupted_split(split(), "gaussian_noise", (1, 3), 32)
    assert several.alter is not None
    alone = {i: np.asarray(several.alter(i, picture(i % 3))) for i in (5, 0, 3, 1, 4, 2)}
    np.random.seed(1)
    expected = np.random.random(3)
    np.random.seed(1)
    found: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(
            target=lambda i=i: found.update({i: np.asarray(several.alter(i, picture(i % 3)))})
        )
        for i in range(6)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(np.array_equal(found[i], alone[i]) for i in range(6))
    assert np.array_equal(
        np.random.random(3), expected
    )  # others' draws go on as if nothing had been drawn


def test_equal_content_is_corrupted_alike_and_other_content_otherwise() -> None:
    whole, part = (
        corrupted_split(split(), "fog", (2,), 32),
        corrupted_split(split().take(np.array([2, 1])), "fog", (2,), 32),
    )
    assert list(part.content) == [whole.content[2], whole.content[1]]
    assert whole.alter is not None and part.alter is not None
    assert np.array_equal(
        np.asarray(whole.alter(2, picture())), np.asarray(part.alter(0, picture()))
    )
    assert not np.array_equal(
        np.asarray(whole.alter(2, picture())), np.asarray(whole.alter(1, picture()))
    )


def test_content_tells_of_corruption_severity_size_and_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prints = [
        corrupted_split(split(), name, (severity,), px).content[0]
        for name, severity, px in (("fog", 1, 32), ("fog", 2, 32), ("fog", 1, 64), ("snow", 1, 32))
    ]
    monkeypatch.setattr(module.importlib.metadata, "version", lambda name: "other")
    prints.append(corrupted_split(split(), "fog", (1,), 32).content[0])
    assert len({*prints, split().content[0]}) == 6


def test_an_alteration_before_is_kept() -> None:
    black = corrupted_split(
        split(alter=lambda i, image: Image.new("RGB", image.size)), "brightness", (1,), 32
    )
    assert black.alter is not None
    assert np.unique(np.asarray(black.alter(0, picture()))).tolist() == [
        25
    ]  # 0.1 of 255 brighter, cut to whole numbers


# --- metrics


def test_by_hand() -> None:
    """Three images, two conditions: wrong 1 of 2, 2 of 2, 0 of 2; clean: right, right, wrong."""
    outcome = CorruptionResults(
        np.array([True, True, False]), np.array([[True, False], [False, False], [True, True]])
    )
    assert corruption_error(outcome) == pytest.approx(3 / 6)
    assert corruption_drop(outcome) == pytest.approx(3 / 6 - 1 / 3)
    assert corruption_error(outcome.under(np.array([True, False]))) == pytest.approx(1 / 3)
    for name in ("corruption_error", "corruption_drop"):
        metric = metric_named(name)
        assert metric.per_example is not None and metric.per_example(outcome).mean() == pytest.approx(
            metric.function(outcome)
        )
        again = CorruptionResults.from_arrays(outcome.to_arrays()).take(np.array([1, 1, 0]))
        assert metric.function(again) == pytest.approx(metric.per_example(outcome)[[1, 1, 0]].mean())
        with pytest.raises(UndefinedError, match="there are no test examples"):
            metric.function(outcome.take(np.array([], int)))


def test_an_outcome_has_conditions() -> None:
    with pytest.raises(
        ValueError, match=r"clean must have shape \(N,\) and right \(N, K\), K at least 1"
    ):
        CorruptionResults(np.ones(2, bool), np.ones((2, 0), bool))


# --- protocol


def problem(seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    y, test_y = rng.integers(2, size=80), rng.integers(2, size=40)
    x, test_x = (
        (rng.normal(size=(len(some), 3)) * 0.1 + np.eye(3)[some] * 3).astype(np.float32)
        for some in (y, test_y)
    )
    return Problem(x, y, np.arange(80) < 20, test_x, test_y, 2)


def test_corruptions_that_change_nothing_cost_nothing_and_those_that_mirror_cost_all() -> None:
    asked = problem()
    swapped = asked.test_x[:, [1, 0, 2]]  # what makes class 0 is where class 1's was
    families = {"noise": ("gaussian_noise",), "digital": ("contrast",)}
    tests = [
        ("gaussian_noise", np.stack([asked.test_x, asked.test_x])),
        ("contrast", np.stack([asked.test_x, swapped])),
    ]
    result = corruptions(asked, tests, families, SETTINGS, "cpu")
    parts = {part.suffix: part.outcome for part in result.parts}
    assert (
        corruption_error(result.outcome) == corruption_drop(result.outcome) == 1 / 4
    )  # one of four conditions loses everything
    errors = {
        name: corruption_error(parts[name])
        for name in ("noise", "digital", "gaussian_noise", "contrast", "severity1", "severity5")
    }  # type: ignore[arg-type]
    assert errors == {
        "noise": 0,
        "digital": 0.5,
        "gaussian_noise": 0,
        "contrast": 0.5,
        "severity1": 0,
        "severity5": 0.5,
    }
    top1 = {
        part.suffix: metric_named("top1").function(part.outcome)
        for part in result.parts
        if part.metrics == ("top1",)
    }
    assert top1 == {
        "clean": 1,
        "gaussian_noise_1": 1,
        "gaussian_noise_5": 1,
        "contrast_1": 1,
        "contrast_5": 0,
    }
    assert next(part.facets for part in result.parts if part.suffix == "contrast_5") == {
        "corruption": "contrast",
        "severity": 5,
    }


# --- from a dataset to its rows


def task(**changes: object) -> TaskSpec:
    settings = SETTINGS.model_copy(update=changes)
    return TaskSpec(
        name="c",
        version=1,
        protocol="corruptions",
        summary="",
        settings=settings,
        metrics=("corruption_error",),
        datasets=("all",),
    )


def solved(asked: TaskSpec, unreadable: set[str]) -> tuple[dict[str, Features], object]:
    """Rows that hold (class, id, severity of the row) of a dataset of 8 train and 4 test images."""
    train, test = split(8), split(4)
    data = Dataset("d", ("a", "b"), {"train": train, "test": test})
    features = {}

    def features_of(need: object) -> Features:
        images: Split = need.split  # type: ignore[attr-defined]
        kept = np.array([i for i, name in enumerate(images.ids) if name not in unreadable])
        rows = np.stack([images.y[kept] * 2.0 - 1, kept, np.ones(len(kept))], 1).astype(np.float32)
        return features.setdefault(need.name, Features(rows, kept, {}, Effort()))  # type: ignore[attr-defined]

    needs = CORRUPTIONS.needs(asked, data, FLOOR)
    return features, CORRUPTIONS.solve(asked, data, needs, features_of, 0, "cpu")


def test_one_need_per_corruption_with_all_severities() -> None:
    features, result = solved(task(), set())
    assert set(features) == {"train", "test", *CORRUPTION_FAMILIES["noise"], *CORRUPTION_FAMILIES["digital"]}
    assert len(features["contrast"].rows) == 2 * 4
    assert result.outcome.right.shape == (4, 14)  # type: ignore[attr-defined]


def test_unreadable_images_are_left_out_everywhere() -> None:
    """image1 cannot be read at all; under another corruption its rows are missing as well."""
    broken = {
        "image1",
        *(
            f"image1 {name} {severity}"
            for family in ("noise", "digital")
            for name in CORRUPTION_FAMILIES[family]
            for severity in (1, 5)
        ),
    }
    _, result = solved(task(), broken)
    assert result.outcome.right.shape == (3, 14)  # type: ignore[attr-defined]


def test_a_limit_keeps_class_proportions() -> None:
    features, result = solved(task(images=2), set())
    assert len(features["test"].rows) == 4  # the rows of other tasks, of which two are read
    assert len(features["contrast"].rows) == 2 * 2
    assert len(result.outcome) == 2  # type: ignore[attr-defined]


def test_without_the_library_the_task_does_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(
        NotApplicableError,
        match=r"no-such-distribution not installed. Run: pip install 'bob-bench\[corruptions\]'",
    ):
        CORRUPTIONS.needs(
            task(), Dataset("d", ("a", "b"), {"train": split(), "test": split()}), FLOOR
        )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"families": ("noise", "noise")}, r"families must differ; got \['noise', 'noise'\]"),
        ({"severities": (1, 1)}, "severities must differ"),
        ({"severities": (6,)}, "less than or equal to 5"),
        ({"side_px": 16}, "side_px must be at least 32"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CorruptionsSettings.model_validate({**SETTINGS.model_dump(), **changes})
