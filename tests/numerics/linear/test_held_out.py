"""Paired comparison of values of C on held-out rows, by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from bob.numerics.linear.grid_search import GridSearch, _end_of, _stride
from bob.numerics.linear.held_out import HeldOutScore, outcomes
from tests.builders.linear import fitted_problem


def score(c=1.0, right=(1,), loss=(0.5,)) -> HeldOutScore:
    """The score of one fold."""
    return HeldOutScore(c, [np.array(right, float)], [np.array(loss, float)], precise=False)


@pytest.mark.parametrize(
    ("gained", "lost", "fewer"),
    [(1, 0, False), (2, 0, True), (3, 1, False), (5, 1, True), (4, 4, False), (0, 3, False)],
)
def test_fewer_rows_are_right_beyond_mcnemar_s_error(gained, lost, fewer):
    """z = (gained - lost) / √(gained + lost) is above 1; 50 rows are right by both."""
    other = [1.0] * gained + [0.0] * lost + [1.0] * 50
    own = [0.0] * gained + [1.0] * lost + [1.0] * 50
    assert score(right=own).fewer_right(score(right=other)) is fewer


def test_a_log_loss_is_higher_beyond_the_error_of_the_paired_losses():
    base = score(loss=[1.0, 2.0, 3.0, 4.0])
    assert score(loss=[1.1, 2.1, 3.1, 4.1]).less_likely(base)  # 0.4 > √(4 · 0.01) = 0.2
    assert not score(loss=[1.9, 1.5, 3.0, 4.0]).less_likely(base)  # 0.4 < √(0.81 + 0.25)
    assert not base.less_likely(base)


def test_folds_count_alike_whatever_their_sizes():
    two = HeldOutScore(1.0, [np.ones(1), np.zeros(3)], [np.full(1, 2.0), np.zeros(3)], True)
    assert (two.top1, two.log_loss, two.rows) == (0.5, 1.0, 4)


def test_rank_is_by_top1_then_log_loss_then_the_stronger_penalty():
    worse, likelier = score(0.1, [0, 1], [0, 0]), score(2.0, [1, 1], [1, 1])
    less, stronger = score(0.1, [1, 1], [2, 2]), score(1.0, [1, 1], [1, 1])
    ordered = sorted([likelier, worse, stronger, less], key=lambda one: one.rank)
    assert ordered == [worse, less, likelier, stronger]


def test_outcomes_are_those_of_the_softmax():
    problem, theta, _ = fitted_problem()
    right, loss = outcomes(problem, problem.evaluate(theta))
    logits = (problem.fast.x.double() @ theta[:, :-1].T + theta[:, -1]).numpy()
    y = problem.y.numpy()
    np.testing.assert_array_equal(right, logits.argmax(1) == y)
    np.testing.assert_allclose(loss, -log_softmax(logits, 1)[np.arange(len(y)), y], atol=1e-5)


# --- values that may be the best


def search_with(scores: list[HeldOutScore], kept: list[float]) -> GridSearch:
    """A search of a small problem with these scores, and weights of the values `kept`."""
    problem, theta, _ = fitted_problem()
    search = GridSearch(problem, [(0, 20)], [one.c for one in scores])
    search.scores = {one.c: one for one in scores}
    search.theta = {c: [theta] for c in kept}
    return search


@pytest.mark.parametrize(("rows", "behind", "stays"), [(64, 1, True), (64, 2, False)])
def test_a_value_may_be_the_best_within_the_slack(rows, behind, stays):
    """1 + √64 / 16 = 1.5 rows."""
    loss = [0.5] * rows
    leader = score(1.0, [1.0] * rows, loss)
    other = score(2.0, [0.0] * behind + [1.0] * (rows - behind), loss)
    search = search_with([leader, other], [1.0, 2.0])
    search._discard_worse()
    assert (2.0 in search.theta) is stays and 1.0 in search.theta


def test_of_two_values_right_on_the_same_rows_the_likelier_may_be_the_best():
    likely, less = score(1.0, [1, 0], [0.1, 0.9]), score(2.0, [1, 0], [0.2, 1.0])
    search = search_with([likely, less], [1.0, 2.0])
    search._discard_worse()
    assert list(search.theta) == [1.0]


def test_the_last_value_stays_where_its_second_solution_is_worse_than_a_discarded_one():
    fallen, discarded = (
        score(1.0, [0.0] * 6 + [1.0] * 58, [1] * 64),
        score(2.0, [1.0] * 64, [1] * 64),
    )
    search = search_with([fallen, discarded], [1.0])
    search._discard_worse()
    assert list(search.theta) == [1.0]


@pytest.mark.parametrize(("ahead", "stays"), [(1, True), (3, False)])
def test_the_value_solved_closely_is_chosen_unless_another_is_better_beyond_the_error(ahead, stays):
    """Another is right on 1 or 3 rows more, and on none less: 1 ≤ √1, but 3 > √3."""
    loss = [0.5] * 64
    solved = replace(score(1.0, [0.0] * 4 + [1.0] * 60, loss), precise=True)
    other = score(2.0, [1.0] * ahead + [0.0] * (4 - ahead) + [1.0] * 60, loss)
    search = search_with([solved, replace(other, precise=False)], [1.0, 2.0])
    assert search._leader().c == (1.0 if stays else 2.0)
    if stays:
        assert search.rule == "standard_error"


# --- starts of values between two that are solved


def test_a_value_between_four_starts_on_the_cubic_through_them():
    """θ is the cube of log10 C at C = 1, 10, 1,000 and 10,000; at 100 it is 8."""
    search = search_with([score()], [1.0])
    search.neighbours = {10.0**i: [torch.full((2, 3), float(i**3))] for i in (0, 1, 3, 4)}
    (theta,) = search._interpolated(100.0)
    torch.testing.assert_close(theta, torch.full((2, 3), 8.0))


def test_a_value_past_all_others_starts_at_the_nearest():
    search = search_with([score()], [1.0])
    search.neighbours = {10.0**i: [torch.full((2, 3), float(i))] for i in (0, 1)}
    assert search._interpolated(100.0)[0].eq(1).all()
    assert search._interpolated(0.1)[0].eq(0).all()


def test_solutions_far_from_the_best_are_not_kept():
    """1.3 decades are kept, and what may be the best."""
    search = search_with([score(10.0**i) for i in range(4)], [1.0, 10.0])
    search.neighbours = {10.0**i: search.theta[1.0] for i in range(4)}
    search._discard_worse()
    assert list(search.neighbours) == [1.0, 10.0]


# --- the end of a path; a value is ten to a quarter times the one before


def path(right, loss) -> list[HeldOutScore]:
    """Scores of ascending values with these numbers of right rows of 100, and mean losses."""
    return [
        score(10 ** (i / 4), [1.0] * count + [0.0] * (100 - count), [mean] * 100)
        for i, (count, mean) in enumerate(zip(right, loss, strict=True))
    ]


def test_a_path_ends_two_values_past_the_best_if_fewer_rows_are_right_beyond_their_error():
    assert _end_of(path([60, 80, 75, 70], [3, 1, 1.1, 1.2])) == "worse than the best"
    assert _end_of(path([60, 80, 75], [3, 1, 1.1])) == ""  # one value past
    assert _end_of(path([60, 80, 79, 79], [3, 1, 1.1, 1.2])) == ""  # one row fewer is no evidence
    assert _end_of(path([60, 80, 75, 70], [3, 1, 0.9, 1.0])) == ""  # the log-loss still fell
    assert _end_of(path([60, 80, 75, 70, 68], [3, 1, 0.9, 1.0, 1.1])) == "worse than the best"


def test_a_path_ends_a_decade_past_the_best_whatever_the_evidence():
    flat = [80, 80, 80, 80, 80]
    assert _end_of(path(flat, [1, 1.1, 1.2, 1.3, 1.4])) == "decade past the best"
    assert _end_of(path(flat[:4], [1, 1.1, 1.2, 1.3])) == ""


def test_a_path_of_one_value_in_two_ends_one_solved_value_past_the_best():
    """It is two values of the grid past."""
    solved = path([60, 80, 70], [3, 1, 1.1])
    assert _end_of(solved) == "" and _end_of(solved, stride=2) == "worse than the best"


def test_the_first_round_goes_in_steps_of_at_most_half_a_decade():
    decades = [(i / 4, 10.0 ** (i / 4)) for i in range(9)]
    assert _stride([c for _, c in decades]) == 2  # 0.25 decades a step
    assert _stride([10.0**exponent for exponent in range(4)]) == 1
    assert _stride([10.0 ** (i / 10) for i in range(20)]) == 5
    assert _stride([1.0, 1.1]) == 1


def test_the_weakest_penalty_is_not_chosen_where_another_is_no_less_likely_on_the_same_rows():
    loss = [0.5, 0.7]
    inside, edge = (HeldOutScore(c, [np.ones(2)], [np.array(loss) - c / 1e3], True) for c in (1, 2))
    search = search_with([inside, edge], [1, 2])
    assert search._inside(edge) is edge  # 0.002 less > √(2 · 0.001²): beyond the paired error
    noisy = HeldOutScore(1, [np.ones(2)], [np.array([0.2, 1.0])], True)  # 0.2 more < √(0.298² · 2)
    search = search_with([noisy, edge], [1, 2])
    assert search._inside(edge) is noisy and search.rule == "strongest_penalty"
    search.certain = True
    assert search._inside(edge) is edge
