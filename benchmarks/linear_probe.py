"""The linear probe against its peers, on the same features, in turns.

    python benchmarks/linear_probe.py --quick
    python benchmarks/linear_probe.py [--features FILE.safetensors]

Two comparisons: the cost of a path of C at equal objective, and the cost of a chosen and refitted probe at equal test accuracy.
A path's true gap is taken against a float64 solution to 1e-7, from the definition of the objective.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pairs import finish, interleave, machine, table
from safetensors.numpy import load_file
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from bob.protocols.descent import FLOOR
from bob.protocols.logistic import fit_path, scores, select_and_refit

TOLERANCE = 1e-4
Weights = tuple[NDArray[Any], NDArray[Any]]


def synthetic(n: int, d: int, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Gaussian clusters in a random basis; the covariance's eigenvalues fall as 1 / rank."""
    rng = np.random.default_rng(0)
    deviation = np.sqrt(d / (1 + np.arange(d)) / np.log(d))
    y = rng.integers(0, classes, n)
    x = (0.35 * rng.standard_normal((classes, d))[y] + rng.standard_normal((n, d))) * deviation
    return (x @ np.linalg.qr(rng.standard_normal((d, d)))[0]).astype(np.float32), y


def objective(weights: Weights, x: NDArray[Any], y: NDArray[Any], c: float) -> float:
    weight, bias = weights
    logits = x.astype(np.float64) @ weight.T.astype(np.float64) + bias
    return float(-log_softmax(logits, 1)[np.arange(len(y)), y].mean() + (weight.astype(np.float64) ** 2).sum() / (2 * c * len(y)))


def scikit_learn(x: NDArray[Any], y: NDArray[Any], grid: Sequence[float], warm: bool) -> Iterator[Weights]:
    """One fit per C: cold with scikit-learn's defaults, or warm from the last."""
    model = LogisticRegression(max_iter=1000, warm_start=warm)
    for c in grid:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.set_params(C=c).fit(x, y)
        both = y.max() == 1
        yield (
            (np.concatenate((-model.coef_, model.coef_)) / 2, np.concatenate((-model.intercept_, model.intercept_)) / 2)
            if both
            else (
                model.coef_.copy(),
                model.intercept_.copy(),
            )
        )


def torch_lbfgs(x: NDArray[Any], y: NDArray[Any], grid: Sequence[float], best: Sequence[float]) -> Iterator[Weights]:
    """`torch.optim.LBFGS`, warm from the last C, told the optimum so that it stops as soon as it is within the tolerance."""
    rows, labels, classes = torch.from_numpy(x), torch.from_numpy(y), int(y.max()) + 1
    weight, bias = torch.zeros(classes, x.shape[1], requires_grad=True), torch.zeros(classes, requires_grad=True)
    for c, goal in zip(grid, best, strict=True):
        optimiser = torch.optim.LBFGS([weight, bias], max_iter=10, history_size=20, line_search_fn="strong_wolfe", tolerance_change=0)
        penalty = 0.5 / (c * len(y))

        def closure(optimiser: torch.optim.LBFGS = optimiser, penalty: float = penalty) -> torch.Tensor:
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(rows @ weight.T + bias, labels) + penalty * weight.square().sum()
            loss.backward()
            return loss

        for _ in range(100):
            optimiser.step(closure)
            if closure().item() <= goal + TOLERANCE * max(goal, FLOOR * np.log(classes)):
                break
        yield weight.detach().numpy().copy(), bias.detach().numpy().copy()


def adamw(x: torch.Tensor, y: torch.Tensor, classes: int, decay: float, epochs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One head as in CLIP_benchmark: AdamW, learning rate 0.1 with cosine decay, batches of 64; without its DataLoader, which would only slow it."""
    torch.manual_seed(0)
    head = torch.nn.Linear(x.shape[1], classes)
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.1, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * -(-len(y) // 64))
    for _ in range(epochs):
        for batch in torch.randperm(len(y)).split(64):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(head(x[batch]), y[batch]).backward()
            optimiser.step()
            schedule.step()
    return head.weight.detach(), head.bias.detach()


def adamw_sweep(fit: Any, val: Any, both: Any, test: Any, classes: int, epochs: int) -> float:
    """Weight decay by 7 of 97 values and three-point bisection on the validation rows, then a refit; test top-1."""
    decays = np.logspace(-6, 2, 97)
    known: dict[int, float] = {}

    def accuracy(index: int) -> float:
        if index not in known:
            known[index] = top1(adamw(*fit, classes, decays[index], epochs), *val)
        return known[index]

    peak = max(range(0, 97, 16), key=accuracy)
    for span in (8, 4, 2, 1):
        peak = max((max(peak - span, 0), peak, min(peak + span, 96)), key=accuracy)
    return top1(adamw(*both, classes, decays[peak], epochs), *test)


def sgd_sweep(fit: Any, val: Any, test: Any, classes: int, steps: int) -> float:
    """13 learning rates at once as in DINOv2 (eval/linear.py): SGD with momentum 0.9, cosine, batches of 128; chosen on validation rows."""
    torch.manual_seed(0)
    x, y = fit
    rates = torch.tensor([1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1]) * 128 / 256
    weight, bias = 0.01 * torch.randn(13, classes, x.shape[1]), torch.zeros(13, classes)
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
    best = max(range(13), key=lambda head: top1((weight[head], bias[head]), *val))
    return top1((weight[best], bias[best]), *test)


def _heads(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Softmax of every head, (n, 13, C)."""
    return torch.softmax((rows @ weight.flatten(0, 1).T + bias.flatten()).view(len(rows), *bias.shape), 2)


def top1(weights: tuple[torch.Tensor, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> float:
    return float(((x @ weights[0].T + weights[1]).argmax(1) == y).float().mean())


def paths(x: NDArray[Any], y: NDArray[Any], classes: int, args: argparse.Namespace) -> dict[str, float]:
    """The cost of a path at equal objective."""
    grid = (10.0 ** np.linspace(*args.log10_c, 10)).tolist()
    some = [grid[i] for i in np.unique(np.linspace(0, 9, args.peer_values).round().astype(int))]
    best = {fit.c: objective((fit.weight, fit.bias), x, y, fit.c) for fit in fit_path(x, y, classes, some, tolerance=1e-7)}
    goals = [best[c] for c in some]

    def once(weights: Callable[[], Iterator[Weights]], threads: int | None = None) -> Callable[[], list[Weights]]:
        def way() -> list[Weights]:
            with threadpool_limits(threads):
                return list(weights())

        return way

    wide = x.astype(np.float64)
    ways: dict[str, Callable[[], Any]] = {
        "ours, 10 values": lambda: list(fit_path(x, y, classes, grid, tolerance=TOLERANCE)),
        "ours, 45 values": lambda: list(fit_path(x, y, classes, 10.0 ** np.linspace(*args.log10_c, 45), tolerance=TOLERANCE)),
        "scikit-learn as called": once(lambda: scikit_learn(wide, y, some, warm=False)),
        "scikit-learn at its best": once(lambda: scikit_learn(x, y, some, warm=True), 1),
        "torch.optim.LBFGS": once(lambda: torch_lbfgs(x, y, some, goals)),
    }
    seconds, results = interleave(ways, args.rounds)
    notes = {}
    for name, fits in results.items():
        ours = name.startswith("ours")
        pairs = [((fit.weight, fit.bias), fit.c) for fit in fits if fit.c in best] if ours else list(zip(fits, some, strict=True))
        gaps = [(objective(w, x, y, c) - best[c]) / max(best[c], FLOOR * np.log(classes)) for w, c in pairs]
        notes[name] = f"true gaps {' '.join(f'{gap:.0e}' for gap in gaps)}"
        if ours:
            notes[name] += f"; certificates {' '.join(f'{fit.gap:.0e}' for fit in fits if fit.c in best)}; {sum(fit.passes for fit in fits)} passes"
        else:
            seconds[name] = [time * len(grid) / len(some) for time in seconds[name]]
    print(f"path of 10 values of C in 10^{args.log10_c}; peers timed on {len(some)} of them and scaled up to 10")
    return table(seconds, "ours, 10 values", notes)


def probes(x: NDArray[Any], y: NDArray[Any], classes: int, args: argparse.Namespace) -> dict[str, float]:
    """The cost of a probe, choice of its strength included."""
    order = np.random.default_rng(1).permutation(len(y))
    test, val = order[: len(y) // 5], order[len(y) // 5 : 2 * len(y) // 5]
    train, fit = order[len(y) // 5 :], order[2 * len(y) // 5 :]
    held = np.arange(len(train)) < len(val)
    part = {
        name: (torch.from_numpy(x[rows]), torch.from_numpy(y[rows])) for name, rows in [("fit", fit), ("val", val), ("both", train), ("test", test)]
    }

    def ours() -> float:
        chosen = select_and_refit(x[train], y[train], classes, 10.0 ** np.linspace(-6, 5, 45), held)
        return float((scores(chosen.fit, x[test]).argmax(1) == y[test]).mean())

    ways = {
        "ours, 45 values": ours,
        "AdamW sweep": lambda: adamw_sweep(part["fit"], part["val"], part["both"], part["test"], classes, args.epochs),
        "SGD, 13 rates": lambda: sgd_sweep(part["fit"], part["val"], part["test"], classes, 1250 * args.epochs),
    }
    seconds, results = interleave(ways, args.rounds)
    print(f"probe chosen on held-out train rows and refitted; {args.epochs} epochs for the sweeps")
    return table(seconds, "ours, 45 values", {name: f"test top-1 {value:.4f}" for name, value in results.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small, under 45 s")
    parser.add_argument("--features", type=Path, help="a safetensors file with x (N, D) and y (N,); default: synthetic")
    parser.add_argument("--size", type=int, nargs=3, default=(10_000, 1280, 100), metavar=("N", "D", "C"))
    parser.add_argument("--log10-c", type=float, nargs=2, default=(-4.0, 1.0), metavar=("FIRST", "LAST"))
    parser.add_argument("--peer-values", type=int, default=4, help="values of C on which the peers are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    if args.quick:
        args.size, args.rounds, args.epochs = (1500, 128, 10), 1, 1
    if args.features:
        stored = load_file(args.features)
        x, y = stored["x"].astype(np.float32)[: args.size[0]], stored["y"].astype(np.int64)[: args.size[0]]
    else:
        x, y = synthetic(*args.size)
    y = np.unique(y, return_inverse=True)[1]
    classes = int(y.max()) + 1
    print(f"{args.features or 'synthetic'}: N={len(y)} D={x.shape[1]} C={classes}; {machine()}")
    ratios = {f"path: {name}": ratio for name, ratio in paths(x, y, classes, args).items()}
    ratios |= {f"probe: {name}": ratio for name, ratio in probes(x, y, classes, args).items()}
    finish(ratios)


if __name__ == "__main__":
    main()
