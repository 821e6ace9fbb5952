"""N-shot probes: draws, every head against scikit-learn, laws, known answers, and classes with too few images."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler, normalize
from threadpoolctl import threadpool_limits

from bob.errors import ConfigError, UndefinedError
from bob.metrics.fewshot import each_area, each_top1, few_shot_top1, label_efficiency
from bob.metrics.intervals import interval
from bob.numerics.linear import batched_dual
from bob.outcomes import Draws
from bob.protocols.fewshot import FewShot, draws, fewshot, fitted
from bob.protocols.sampling import choose, generator, pools
from bob.specs.settings import FewShotSettings
from bob.specs.yaml import build

HEADS = ("logistic", "ridge", "centroid")


@pytest.fixture(autouse=True)
def _one_thread():
    """On few cores, threads inside scikit-learn's small products cost up to 20 times what they save."""
    with threadpool_limits(1):
        yield


def settings(**changed):
    return FewShotSettings(**{"shots": (1, 2, 4), "draws": 4, "heads": HEADS, "l2": 1.0, **changed})


def made(classes=4, per_class=12, width=30, noise=1.0, seed=0, queries=40):
    """A problem whose classes are Gaussian around random means; images are told apart by their number."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((classes, width))
    y, test_y = np.repeat(np.arange(classes), per_class), rng.integers(classes, size=queries)
    x, test_x = (
        (means[labels] + noise * rng.standard_normal((len(labels), width)) + 3).astype(np.float32)
        for labels in (y, test_y)
    )
    content = [f"{seed}-{i}" for i in range(len(y))]
    return FewShot(
        x, pools(y, content, classes), test_x, test_y, tuple(f"c{c}" for c in range(classes))
    )


def scores_of(head, x, y, classes, l2, test_x):
    """What scikit-learn scores at the same objective, centred over classes: (Q, C)."""
    if head == "centroid":
        with np.errstate(
            invalid="ignore"
        ):  # it wants a spread within classes, which one shot does not have, and does not use it
            centroids = NearestCentroid().fit(normalize(x), y).centroids_
        scores = -np.square(normalize(test_x)[:, None] - centroids).sum(2) / 2
    elif head == "ridge":
        scale = StandardScaler().fit(x)
        fit = Ridge(alpha=l2 * scale.transform(x).shape[1], solver="svd").fit(
            scale.transform(x), 2.0 * np.eye(classes)[y] - 1
        )
        scores = fit.predict(scale.transform(test_x))
    else:
        c = (2 if classes == 2 else 1) / (l2 * np.square(x - x.mean(0)).sum(1).mean())
        fit = LogisticRegression(C=c, tol=1e-9, max_iter=10_000).fit(x, y)
        scores = fit.decision_function(test_x)
        scores = scores if classes > 2 else np.stack([-scores, scores], 1) / 2
    return scores - scores.mean(1, keepdims=True)


# --- draws


def test_choices_are_distinct_below_the_size_and_all_equally_likely():
    found = choose(np.full(60_000, 4), 2, generator(0))
    assert (found[:, 0] != found[:, 1]).all() and found.min() == 0 and found.max() == 3
    counts = np.bincount(found[:, 0] * 4 + found[:, 1], minlength=16)[
        [1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14]
    ]  # the 12 ordered pairs
    assert stats.chisquare(counts).pvalue > 1e-3
    assert sorted(choose(np.array([5]), 5, generator(1))[0]) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="4 distinct numbers cannot be chosen below 3"):
        choose(np.array([9, 3]), 4, generator(0))


def test_draws_do_not_depend_on_the_order_of_images_nor_on_how_many_are_drawn():
    rng = np.random.default_rng(0)
    y, content = rng.integers(3, size=60), [f"image {i}" for i in range(60)]
    order = rng.permutation(60)
    here = draws(pools(y, content, 3), 5, 4, seed=7)
    there = draws(pools(y[order], [content[i] for i in order], 3), 5, 4, seed=7)
    assert (order[there] == here).all()
    assert (y[here] == np.arange(3)[:, None]).all()
    assert (draws(pools(y, content, 3), 3, 2, seed=7) == here[:3, :, :2]).all()
    assert (draws(pools(y, content, 3), 5, 4, seed=8) != here).any()


def test_byte_identical_images_of_a_class_count_once():
    found = pools(np.array([0, 0, 0, 1, 1]), ["b", "a", "b", "b", "c"], 2)
    assert [pool.tolist() for pool in found] == [[1, 0], [3, 4]]


# --- heads against scikit-learn


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("classes", "shots", "width"),
    [(4, 1, 30), (4, 5, 30), (2, 3, 30), (2, 1, 30), (9, 2, 64), (4, 8, 20), (2, 9, 12)],
)
@pytest.mark.parametrize("l2", [1.0, 0.05])
def test_heads_agree_with_scikit_learn(head, classes, shots, width, l2):
    """The last two have more rows than features, and go through the solvers of the linear probe."""
    rng = np.random.default_rng(classes * shots)
    y = np.repeat(np.arange(classes), shots)
    x = (
        rng.standard_normal((3, len(y), width)) + rng.standard_normal((classes, width))[y] + 1
    ).astype(np.float32)
    test_x = (rng.standard_normal((20, width)) + 1).astype(np.float32)
    seen = (
        (lambda rows: normalize(rows.reshape(-1, width)).reshape(rows.shape))
        if head == "centroid"
        else (lambda rows: rows)
    )
    tolerance = (
        2e-2 if head == "logistic" else 1e-4
    )  # a gap of 1e-5 leaves weights a few times its root away
    weight, bias, gap = fitted(head, torch.from_numpy(seen(x)), y, classes, l2)
    assert gap <= 1e-5
    for i in range(len(x)):
        ours = seen(test_x) @ weight[i].numpy().T + bias[i].numpy()
        expected = scores_of(
            head, x[i].astype(np.float64), y, classes, l2, test_x.astype(np.float64)
        )
        assert ours - ours.mean(1, keepdims=True) == pytest.approx(
            expected, abs=tolerance * np.abs(expected).max()
        )


@pytest.mark.parametrize("head", HEADS)
def test_accuracies_are_those_of_a_loop_over_scikit_learn(head):
    problem = made(noise=2.5)
    found = fewshot(problem, settings(heads=(head,)), seed=3, device="cpu").parts[0].outcome
    drawn = draws(problem.pools, 4, 4, seed=3)
    for r in range(4):
        for j, shots in enumerate((1, 2, 4)):
            rows, y = drawn[r, :, :shots].ravel(), np.repeat(np.arange(4), shots)
            scores = scores_of(
                head,
                problem.x[rows].astype(np.float64),
                y,
                4,
                1.0,
                problem.test_x.astype(np.float64),
            )
            assert found.top1[r, j] == (scores.argmax(1) == problem.test_y).mean()


def test_the_span_s_gap_estimate_is_honest():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1, 20, 50))
    y = np.arange(20) % 4
    gram = batched_dual.centred(torch.from_numpy(rows @ rows.transpose(0, 2, 1)))

    def objective(found):
        scores = (gram @ found.coefficient)[0] + found.bias
        loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(y), reduction="sum")
        return float(loss + 0.5 * (found.coefficient * (gram @ found.coefficient)).sum() * 5)

    rough, exact = (
        batched_dual.logistic(gram, torch.from_numpy(y)[None], 4, torch.tensor([5.0]), tolerance)
        for tolerance in (1e-2, 1e-13)
    )
    left = (objective(rough) - objective(exact)) / (
        20 * np.log(4) - objective(rough)
    )  # without weights, each of 20 rows costs log 4
    assert 1e-9 < left <= rough.gap <= 1e-2


# --- laws and known answers


@pytest.mark.parametrize("head", HEADS)
def test_known_answers(head):
    assert (
        fewshot(made(noise=0.0), settings(heads=(head,)), 0, "cpu").parts[0].outcome.top1 == 1
    ).all()
    blind = made(classes=5, per_class=20, noise=1.0, queries=2000)
    useless = FewShot(
        np.random.default_rng(1).standard_normal(blind.x.shape).astype(np.float32),
        blind.pools,
        blind.test_x,
        blind.test_y,
        blind.classes,
    )
    assert fewshot(useless, settings(heads=(head,), draws=20), 0, "cpu").parts[
        0
    ].outcome.top1.mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("head", "change"),
    [
        (head, change)
        for head in HEADS
        for change in ("rotated", "scaled", "columns")
        if (head, change) != ("ridge", "rotated")
    ],
)
def test_what_must_not_move_an_accuracy(head, change):
    """The ridge head standardises each feature, as its source does, so that a rotation of features may move it."""
    problem, rng = made(noise=2.0), np.random.default_rng(0)
    turn = {
        "rotated": np.linalg.qr(rng.standard_normal((30, 30)))[0],
        "scaled": 100 * np.eye(30),
        "columns": np.eye(30)[rng.permutation(30)],
    }[change]
    moved = FewShot(
        (problem.x @ turn).astype(np.float32),
        problem.pools,
        (problem.test_x @ turn).astype(np.float32),
        problem.test_y,
        problem.classes,
    )
    here, there = (
        fewshot(one, settings(heads=(head,)), 0, "cpu").parts[0].outcome.top1
        for one in (problem, moved)
    )
    assert there == pytest.approx(
        here, abs=1 / len(problem.test_y) + 1e-9
    )  # one image at a boundary may fall to either side
    assert there.mean() == pytest.approx(here.mean(), abs=2e-3)


def test_identical_and_constant_features_give_the_first_class():
    problem = made()
    same = FewShot(
        np.ones_like(problem.x),
        problem.pools,
        np.ones_like(problem.test_x),
        problem.test_y,
        problem.classes,
    )
    for head in HEADS:
        found = fewshot(same, settings(heads=(head,)), 0, "cpu").parts[0].outcome.top1
        assert (found == (problem.test_y == 0).mean()).all()


# --- parts, and classes with too few images


def test_parts_carry_their_facets_and_the_headline_ranks():
    parts = fewshot(made(), settings(), 0, "cpu").parts
    assert [part.suffix for part in parts[:4]] == ["", "ridge", "centroid", "logistic_1shot"]
    assert parts[0].facets == {"head": "logistic", "shots": "1-4"} and parts[0].metrics == (
        "label_efficiency",
    )
    assert parts[-1].facets == {"head": "centroid", "shots": 4} and parts[
        -1
    ].outcome.shots.tolist() == [4]
    assert parts[3].outcome.top1[:, 0] == pytest.approx(parts[0].outcome.top1[:, 0])


def test_too_few_images_are_said_and_not_hidden():
    result = fewshot(made(per_class=3), settings(shots=(1, 2, 16)), 0, "cpu")
    assert result.parts[0].facets["shots"] == "1-2"
    assert result.detail["shots_left_out"] == [16]
    lost = [part for part in result.parts if part.facets["shots"] == 16]
    assert len(lost) == 3 and all(part.outcome is None for part in lost)
    assert (
        lost[0].undefined
        == "16 shots need as many train images per class; class 'c0' has 3 (byte-identical ones counted once)"
    )


@pytest.mark.parametrize("images", [0, 1])
def test_without_two_numbers_of_shots_there_is_no_label_efficiency(images):
    problem = made()
    poor = FewShot(
        problem.x,
        (problem.pools[0][:images], *problem.pools[1:]),
        problem.test_x,
        problem.test_y,
        problem.classes,
    )
    parts = fewshot(poor, settings(shots=(1, 2)), 0, "cpu").parts
    assert parts[0].outcome is None
    assert (
        f"two numbers of shots that every class can serve; class 'c0' has {images}"
        in parts[0].undefined
    )


# --- outcome and metrics


def test_metrics_by_hand():
    # Log-widths from 1 to 2 and from 2 to 8 shots are as 1 to 2, so the area is (1 · (.2+.4)/2 + 2 · (.4+.8)/2) / 3 = 0.5, and 0.6 for the constant.
    outcome = Draws(np.array([[0.2, 0.4, 0.8], [0.6, 0.6, 0.6]]), np.array([1, 2, 8]))
    assert each_area(outcome) == pytest.approx([0.5, 0.6])
    assert label_efficiency(outcome) == pytest.approx(0.55)
    assert few_shot_top1(outcome.at(2)) == pytest.approx(0.5)
    assert each_top1(outcome.take(np.array([1, 1, 0])).at(8)) == pytest.approx([0.6, 0.6, 0.8])


@pytest.mark.parametrize("seed", range(5))
def test_area_and_interval_agree_with_scipy(seed):
    rng = np.random.default_rng(seed)
    shots = np.cumsum(rng.integers(1, 5, size=5))
    outcome = Draws(rng.random((10, 5)), shots)
    expected = [
        np.trapezoid(row, np.log(shots)) / np.log(shots[-1] / shots[0]) for row in outcome.top1
    ]
    assert each_area(outcome) == pytest.approx(expected)
    value, low, high, kind = interval("label_efficiency", outcome, seed=0)
    assert (low, high) == pytest.approx(
        stats.t.interval(0.95, 9, np.mean(expected), stats.sem(expected))
    )
    assert value == pytest.approx(np.mean(expected)) and kind == "t"


def test_outcomes_are_stored_bit_for_bit():
    outcome = Draws(np.random.default_rng(0).random((3, 2)), np.array([1, 5]))
    again = Draws.from_arrays(outcome.to_arrays())
    assert (
        (again.top1 == outcome.top1).all()
        and (again.shots == outcome.shots).all()
        and len(again) == 3
    )


def test_outcomes_of_another_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"top1 must have shape \(R, S\) and shots \(S,\); got \(3,\) and \(1,\)"
    ):
        Draws(np.zeros(3), np.array([1]))
    with pytest.raises(ValueError, match=r"shots must ascend from at least 1; got \[2, 2\]"):
        Draws(np.zeros((3, 2)), np.array([2, 2]))


def test_undefined_metrics_say_why():
    curve = Draws(np.zeros((2, 2)), np.array([1, 2]))
    with pytest.raises(
        UndefinedError, match="few_shot_top1 is of one number of shots; the outcome has 2"
    ):
        few_shot_top1(curve)
    with pytest.raises(
        UndefinedError, match="label_efficiency needs at least two numbers of shots"
    ):
        label_efficiency(curve.at(1))
    with pytest.raises(UndefinedError, match="there are no draws"):
        label_efficiency(curve.take(np.array([], int)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shots": [4, 2]}, r"must ascend without repeats; got \[4, 2\]"),
        ({"heads": ["ridge", "ridge"]}, "must not repeat a head"),
    ],
)
def test_wrong_settings_are_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        build(
            FewShotSettings,
            {"shots": [1, 2], "draws": 2, "heads": ["ridge"], "l2": 1.0, **changed},
            "x",
        )
