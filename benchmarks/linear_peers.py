"""Peers of the linear probe: other solvers of the same objective, and other recipes for a probe.

A solver is given the optimum, and runs until its objective is first within the wanted gap of it:
the least time that any tolerance of its own could give it. A time limit ends it before; its time is
then a lower bound.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

Floats = NDArray[Any]
Weights = tuple[Floats, Floats]
"""(C, D) and (C,)"""
PROBE = 10
"""Number of iterations by which the faster number of threads is determined."""


@dataclass(frozen=True)
class Task:
    """A problem at one value of C."""

    x: Floats
    y: NDArray[np.int64]
    classes: int
    c: float
    penalty: float
    """λ of  mean cross-entropy + λ/2 ‖W‖²."""
    goal: float
    """Objective at which it is solved; -inf leaves it to the peer's own stopping rule."""
    limit_s: float
    start: Weights | None
    """Weights of a warm start."""


@dataclass(frozen=True)
class Solved:
    weights: Weights
    seconds: float
    iterations: int
    reached: bool
    """Whether the goal was reached before the limit."""


@dataclass
class _Stop:
    """A callback of scipy that ends the iterations at the goal, or at the limit."""

    task: Task
    began: float
    reached: bool = False
    iterations: int = 0

    def __call__(self, intermediate_result: scipy.optimize.OptimizeResult) -> None:
        self.iterations += 1
        self.reached = intermediate_result.fun <= self.task.goal
        if self.reached or time.perf_counter() - self.began > self.task.limit_s:
            raise StopIteration


def scikit_learn(task: Task, *, threads: int | None = None, own: bool = False) -> Solved:
    """Solve by `LogisticRegression`.

    Where `own`, it stops by its default rule, after at most 1,000 iterations.
    """
    rule = {"max_iter": 1000} if own else {"max_iter": 10**6, "tol": 0.0}
    model = LogisticRegression(C=task.c, warm_start=task.start is not None, **rule)
    if task.start is not None:
        model.classes_ = np.arange(task.classes)
        model.coef_, model.intercept_ = (
            task.start if task.classes > 2 else (part[1:] - part[:1] for part in task.start)
        )
    began = time.perf_counter()
    stop = _Stop(task, began)
    minimize = scipy.optimize.minimize
    with (
        mock.patch.object(
            scipy.optimize, "minimize", lambda *a, **k: minimize(*a, **{**k, "callback": stop})
        ),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        with threadpool_limits(threads):
            model.fit(task.x, task.y)
    seconds = time.perf_counter() - began
    weights = (model.coef_, model.intercept_)
    if task.classes == 2:
        weights = tuple(np.concatenate((-part, part)) / 2 for part in weights)
    return Solved(weights, seconds, stop.iterations, stop.reached)


def faster_threads(task: Task) -> int | None:
    """Return 1 BLAS thread or None for all, whichever is faster over a few iterations."""

    def seconds(threads: int | None) -> float:
        began = time.perf_counter()
        with warnings.catch_warnings(), threadpool_limits(threads):
            warnings.simplefilter("ignore")
            LogisticRegression(C=task.c, max_iter=PROBE).fit(task.x, task.y)
        return time.perf_counter() - began

    return min((1, None), key=seconds)


class _EndedError(Exception):
    """Raised to leave torch's optimiser at the point that it has just evaluated."""

    def __init__(self, reached: bool) -> None:
        self.reached = reached


def torch_lbfgs(task: Task, device: str = "cpu") -> Solved:
    """Solve by `torch.optim.LBFGS` and autograd, with a strong Wolfe line search and 20 pairs."""
    x, y = torch.from_numpy(task.x).to(device), torch.from_numpy(task.y).to(device)
    start = task.start or (np.zeros((task.classes, x.shape[1])), np.zeros(task.classes))
    weight, bias = (
        torch.tensor(part, dtype=x.dtype, device=device, requires_grad=True) for part in start
    )
    rule = {
        "max_iter": 1000,
        "history_size": 20,
        "line_search_fn": "strong_wolfe",
        "tolerance_change": 0,
        "tolerance_grad": 0,
    }
    optimiser, began, evaluations = (
        torch.optim.LBFGS([weight, bias], **rule),
        time.perf_counter(),
        0,
    )

    def closure() -> torch.Tensor:
        nonlocal evaluations
        evaluations += 1
        optimiser.zero_grad()
        loss = (
            torch.nn.functional.cross_entropy(x @ weight.T + bias, y)
            + 0.5 * task.penalty * weight.square().sum()
        )
        loss.backward()
        if (value := loss.item()) <= task.goal or time.perf_counter() - began > task.limit_s:
            raise _EndedError(value <= task.goal)
        return loss

    try:
        while True:
            optimiser.step(closure)
    except _EndedError as end:
        reached = end.reached
    weights = (
        weight.detach().cpu().numpy().astype(np.float64),
        bias.detach().cpu().numpy().astype(np.float64),
    )
    return Solved(weights, time.perf_counter() - began, evaluations, reached)


def cuml_qn(task: Task) -> Solved:
    """Solve by cuML's quasi-Newton solver, cold.

    Its iterations are doubled until the goal is reached, and only the last fit is timed.
    """
    from cuml.linear_model import LogisticRegression as OnDevice

    iterations, began = 25, time.perf_counter()
    while True:
        model = OnDevice(C=task.c, max_iter=iterations, tol=1e-12, output_type="numpy")
        started = time.perf_counter()
        model.fit(task.x, task.y.astype(np.float32))
        seconds, weights = (
            time.perf_counter() - started,
            (np.asarray(model.coef_), np.asarray(model.intercept_)),
        )
        if task.classes == 2:
            weights = tuple(np.concatenate((-part, part)) / 2 for part in weights)
        reached = objective(weights, task.x, task.y, task.penalty) <= task.goal
        if reached or time.perf_counter() - began > task.limit_s:
            return Solved(weights, seconds, iterations, reached)
        iterations *= 2


def objective(weights: Weights, x: Floats, y: NDArray[np.int64], penalty: float) -> float:
    """Return the objective in float64, from its definition."""
    weight, bias = (part.astype(np.float64) for part in weights)
    logits = x.astype(np.float64) @ weight.T + bias
    top = logits.max(1)
    losses = np.log(np.exp(logits - top[:, None]).sum(1)) + top - logits[np.arange(len(y)), y]
    return float(losses.mean() + penalty / 2 * (weight**2).sum())


# --- recipes

Labelled = tuple[torch.Tensor, torch.Tensor]
DECAYS = np.logspace(-6, 2, 97)
RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)


def top1(weights: tuple[torch.Tensor, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> float:
    return float(((x @ weights[0].T + weights[1]).argmax(1) == y).float().mean())


Batches = Callable[[torch.Tensor, torch.Tensor], Iterable[Labelled]]


def gathered(x: torch.Tensor, y: torch.Tensor) -> Iterator[Labelled]:
    """Yield an epoch in batches of 64, each gathered at once."""
    for batch in torch.randperm(len(y)).split(64):
        yield x[batch], y[batch]


def loaded(x: torch.Tensor, y: torch.Tensor) -> Iterable[Labelled]:
    """Return the same through a DataLoader, as in CLIP_benchmark, but in this process.

    Starting its workers at every epoch takes longer.
    """
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=64, shuffle=True
    )


def adamw(
    x: torch.Tensor, y: torch.Tensor, classes: int, decay: float, epochs: int, batches: Batches
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit one head as in CLIP_benchmark (metrics/linear_probe.py): AdamW, learning rate 0.1 with
    cosine decay, batches of 64.
    """
    torch.manual_seed(0)
    head = torch.nn.Linear(x.shape[1], classes)
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.1, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * -(-len(y) // 64))
    for _ in range(epochs):
        for rows, label in batches(x, y):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(head(rows), label).backward()
            optimiser.step()
            schedule.step()
    return head.weight.detach(), head.bias.detach()


def adamw_sweep(
    fit: Labelled,
    val: Labelled,
    test: Labelled,
    classes: int,
    epochs: int,
    batches: Batches = gathered,
) -> float:
    """Return test top-1 with the weight decay chosen as in CLIP_benchmark.

    Of 97 values, 7 are tried on validation rows, then the better of neighbours at 8, 4, 2 and 1
    steps; the refit is on both. No value is fitted twice, where the original fits some again.
    """
    accuracies: dict[int, float] = {}

    def accuracy(index: int) -> float:
        if index not in accuracies:
            accuracies[index] = top1(adamw(*fit, classes, DECAYS[index], epochs, batches), *val)
        return accuracies[index]

    peak = max(range(0, 97, 16), key=accuracy)
    for span in (8, 4, 2, 1):
        peak = max((max(peak - span, 0), peak, min(peak + span, 96)), key=accuracy)
    both = torch.cat((fit[0], val[0])), torch.cat((fit[1], val[1]))
    return top1(adamw(*both, classes, DECAYS[peak], epochs, batches), *test)


def adamw_sweep_normalised(
    fit: Labelled, val: Labelled, test: Labelled, classes: int, epochs: int
) -> float:
    """Return test top-1 of `adamw_sweep` on rows of length 1, CLIP_benchmark's default."""
    fit, val, test = ((torch.nn.functional.normalize(x), y) for x, y in (fit, val, test))
    return adamw_sweep(fit, val, test, classes, epochs)


def sgd_sweep(fit: Labelled, val: Labelled, test: Labelled, classes: int, epochs: int) -> float:
    """Return test top-1 of 13 learning rates trained at once as in DINOv2 (eval/linear.py).

    SGD has momentum 0.9, cosine decay, batches of 128 and epochs of 1,250 steps. The best head on
    validation rows is tested without a refit.
    """
    torch.manual_seed(0)
    x, y = fit
    steps, rates = 1250 * epochs, torch.tensor(RATES) * 128 / 256
    weight, bias = (
        0.01 * torch.randn(len(RATES), classes, x.shape[1]),
        torch.zeros(len(RATES), classes),
    )
    speed_w, speed_b = torch.zeros_like(weight), torch.zeros_like(bias)
    for step in range(steps):
        batch = torch.randint(len(y), (128,))
        rows, label = x[batch], y[batch]
        p = _heads(rows, weight, bias)
        p[torch.arange(128), :, label] -= 1
        rate = rates * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        speed_w.mul_(0.9).add_((p.flatten(1).T @ rows).view_as(weight) / 128)
        speed_b.mul_(0.9).add_(p.mean(0))
        weight -= rate[:, None, None] * speed_w
        bias -= rate[:, None] * speed_b
    best = max(range(len(RATES)), key=lambda head: top1((weight[head], bias[head]), *val))
    return top1((weight[best], bias[best]), *test)


def _heads(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return the softmax of every head, (n, 13, C)."""
    return torch.softmax(
        (rows @ weight.flatten(0, 1).T + bias.flatten()).view(len(rows), *bias.shape), 2
    )
