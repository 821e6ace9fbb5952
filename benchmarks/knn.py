"""k-NN against faiss's search alone, scikit-learn and a plain torch loop.

    python benchmarks/knn.py [--quick] [--features FILE.safetensors]

Ours does more than its peers: every k in {1, 5, 10, 20, 50, 100, 200} and both votes, from one
search.

- `faiss`: `IndexFlatIP` search alone, of rows that are normalised and indexed before the clock
  starts; no votes.
- `scikit-learn`: `KNeighborsClassifier`, brute force, k = 200, uniform vote: fit and predict.
- `torch`: the recipe of DINO's eval_knn.py, written anew: chunks of queries times the gallery,
  topk, and for every k a one-hot vote. (The official script searches again for every k; this one
  searches once.)

All of them run in one process on the same features, one after the other, round after round, after a
small call to warm up; a ratio is the median over rounds of peer / ours in the same round. The slow
ones (torch, scikit-learn) get two rounds. Peak memory is the most that the process held during a
call above what it held before.
"""

import argparse
import importlib.util
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from pairs import Measured, machine, measured
from safetensors.numpy import load_file
from sklearn.neighbors import KNeighborsClassifier

from bob.numerics.search.neighbours import search, tied_with_last
from bob.numerics.search.similarity import unit
from bob.protocols.knn import votes_per_k

KS = [1, 5, 10, 20, 50, 100, 200]
TEMPERATURE = 0.07

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Features:
    """A gallery and queries with classes."""

    def __init__(self, x: Floats, y: Ints, queries: int) -> None:
        """Take the last rows as queries."""
        self.x, self.y = x[:-queries], y[:-queries]
        self.q, self.query_y = x[-queries:], y[-queries:]
        self.classes = int(y.max()) + 1


def synthetic(n: int, q: int, d: int, classes: int) -> Features:
    """Return Gaussian classes in a decaying spectrum."""
    rng = np.random.default_rng(0)
    spectrum = (np.arange(1, d + 1) ** -0.5).astype(np.float32)
    y = rng.integers(classes, size=n + q)
    x = rng.normal(size=(n + q, d)).astype(np.float32)
    x += rng.normal(size=(classes, d)).astype(np.float32)[y]
    return Features(x * spectrum, y, q)


def from_file(path: Path) -> Features:
    """Return the features of a file, a random fifth of which are queries."""
    arrays = load_file(path)
    order = np.random.default_rng(0).permutation(len(arrays["y"]))
    return Features(
        arrays["x"].astype(np.float32)[order], arrays["y"].astype(np.int64)[order], len(order) // 5
    )


def ours(data: Features, metric: Literal["cosine", "euclidean"], device: str = "cpu") -> float:
    """Search once for every k and both votes; return top-1 of the weighted vote at k = 20."""
    neighbours = search(data.x, data.q, max(KS), device, metric)

    def tie_counts(rows: Ints) -> Ints:
        groups = tied_with_last(data.x, data.q[rows], neighbours.take(rows), metric)
        return np.stack([np.bincount(data.y[tied], minlength=data.classes) for tied in groups])

    labels = data.y, data.query_y, data.classes
    weighted = votes_per_k(neighbours, *labels, KS, TEMPERATURE, tie_counts)
    votes_per_k(neighbours, *labels, KS, None, tie_counts)
    return float((weighted[KS.index(20)].rank == 0).mean())


def faiss_search(data: Features) -> Callable[[], float]:
    index = faiss.IndexFlatIP(data.x.shape[1])
    index.add(unit(data.x))
    queries = unit(data.q)

    def call() -> float:
        _, nearest = index.search(queries, max(KS))
        return float((data.y[nearest[:, 0]] == data.query_y).mean())

    return call


def cuml_search(data: Features) -> Callable[[], float]:
    """Return a search like faiss's: rows normalised and indexed beforehand, no votes."""
    from cuml.neighbors import NearestNeighbors

    index, queries = (
        NearestNeighbors(
            n_neighbors=max(KS), metric="cosine", algorithm="brute", output_type="numpy"
        ).fit(unit(data.x)),
        unit(data.q),
    )

    def call() -> float:
        return float(
            (data.y[index.kneighbors(queries, return_distance=False)[:, 0]] == data.query_y).mean()
        )

    return call


def scikit_learn(data: Features, metric: str) -> float:
    peer = KNeighborsClassifier(max(KS), metric=metric, algorithm="brute", n_jobs=-1).fit(
        data.x, data.y
    )
    return float((peer.predict(data.q) == data.query_y).mean())


def torch_loop(data: Features) -> float:
    """Return top-1 at k = 20, by chunks of a hundredth of the queries.

    Votes are counted through a one-hot (chunk · k, C) tensor, for each k anew.
    """
    gallery = torch.nn.functional.normalize(torch.from_numpy(data.x)).T.contiguous()
    queries = torch.nn.functional.normalize(torch.from_numpy(data.q))
    y, query_y = torch.from_numpy(data.y), torch.from_numpy(data.query_y)
    right = 0
    for start in range(0, len(queries), max(1, len(queries) // 100)):
        part = slice(start, start + max(1, len(queries) // 100))
        similarity, index = (queries[part] @ gallery).topk(max(KS))
        label = y[index]
        for k in KS:
            one_hot = torch.zeros(label[:, :k].numel(), data.classes).scatter_(
                1, label[:, :k].reshape(-1, 1), 1
            )
            weight = (similarity[:, :k] / TEMPERATURE).exp()
            votes = (one_hot.view(len(label), k, data.classes) * weight[:, :, None]).sum(1)
            if k == 20:
                right += int((votes.argmax(1) == query_y[part]).sum())
    return right / len(queries)


def compare(
    data: Features, rounds: int, slow_rounds: int, device: str
) -> dict[str, list[Measured[float]]]:
    """Return each contender's measurements; those of fewer rounds run in the first rounds."""
    contenders: dict[str, tuple[Callable[[], float], int]] = {
        "ours, cosine": (lambda: ours(data, "cosine", device), rounds),
        "faiss, search alone": (faiss_search(data), rounds),
        "ours, Euclidean": (lambda: ours(data, "euclidean", device), rounds),
        "torch loop, cosine": (lambda: torch_loop(data), slow_rounds),
        "scikit-learn, cosine": (lambda: scikit_learn(data, "cosine"), slow_rounds),
        "scikit-learn, Euclidean": (lambda: scikit_learn(data, "euclidean"), slow_rounds),
    }
    if device != "cpu" and importlib.util.find_spec("cuml"):
        contenders["cuML, search alone"] = (cuml_search(data), rounds)
    # libraries load and threads start outside the clock
    ours(Features(data.x[:2000], data.y[:2000], 500), "cosine", device)
    runs: dict[str, list[Measured[float]]] = {name: [] for name in contenders}
    for turn in range(rounds):
        # the order is reversed in turn, so that none always runs after the same other
        names = list(contenders) if turn % 2 == 0 else list(contenders)[::-1]
        for name in names:
            call, wanted = contenders[name]
            if turn < wanted:
                runs[name].append(measured(call))
    return runs


def report(measurements: dict[str, list[Measured[float]]]) -> dict[str, Any]:
    """Print a table, and return the ratios of peers' seconds to ours with the same metric."""
    ratios = {}
    print(
        f"{'':26}{'median s':>10}{'min':>8}{'max':>8}{'peak MiB':>10}{'peer / ours':>14}"
        f"{'min':>7}{'max':>7}"
    )
    for name, runs in measurements.items():
        same = "ours, Euclidean" if name.endswith("Euclidean") else "ours, cosine"
        pairs = [
            run.seconds / mine.seconds for run, mine in zip(runs, measurements[same], strict=False)
        ]
        seconds = [run.seconds for run in runs]
        peak = max(run.peak_mib for run in runs)
        line = (
            f"{name:26}{statistics.median(seconds):10.2f}{min(seconds):8.2f}{max(seconds):8.2f}"
            f"{peak:10.0f}"
        )
        if not name.startswith("ours"):
            ratios[name] = round(statistics.median(pairs), 3)
            line += f"{ratios[name]:14.2f}{min(pairs):7.2f}{max(pairs):7.2f}"
        print(line)
    mine, faiss_runs = measurements["ours, cosine"], measurements["faiss, search alone"]
    over_faiss = [run.seconds / peer.seconds for run, peer in zip(mine, faiss_runs, strict=True)]
    return {
        "rival_over_ours": ratios,
        "ours_over_faiss": round(statistics.median(over_faiss), 3),
        "ours_peak_mib": round(max(run.peak_mib for run in mine)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="10,000 × 2,000 × 384 in place of 50,000 × 10,000 × 768: under 45 s",
    )
    parser.add_argument(
        "--features", type=Path, help="safetensors file with x (N, D), float, and y (N,), int"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="number of rounds of ours and faiss (default: 5)"
    )
    parser.add_argument(
        "--device", default="cpu", help="device of ours; on a GPU with cuML, it is a peer too"
    )
    args = parser.parse_args()
    size = (10_000, 2_000, 384, 100) if args.quick else (50_000, 10_000, 768, 100)
    data = from_file(args.features) if args.features else synthetic(*size)
    shape = {
        "gallery": len(data.x),
        "queries": len(data.q),
        "width": data.x.shape[1],
        "classes": data.classes,
    }
    print(f"{shape}, k in {KS}, both votes; {torch.get_num_threads()} threads; {machine()}")
    measurements = compare(data, args.rounds, min(args.rounds, 2), args.device)
    print(json.dumps({"benchmark": "knn", **shape, **report(measurements)}))


if __name__ == "__main__":
    main()
