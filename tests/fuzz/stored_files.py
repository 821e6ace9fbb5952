"""Files of the cache, weights, and plans."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from bob.backbones.weights.read import read_checkpoint
from bob.features.inventory import Description, describe
from bob.features.store import FeatureStore
from bob.plan import make_plan, make_workspace
from bob.plan.plan import read_plan
from tests.builders.features import KEY, shard
from tests.builders.plans import make_request
from tests.fuzz.mutate import damaged, damaged_values, truncated
from tests.fuzz.target import Case


def prepare_shards(folder: Path) -> Case:
    """Damage a shard: it counts as missing, whatever is wrong with it."""
    store = FeatureStore(folder / "features")
    store.write(KEY, 0, shard())
    describe(store, KEY, Description("raw_pixels", "photos", "train", 6, 1))
    (path,) = (folder / "features").rglob("*.safetensors")
    sound = path.read_bytes()

    def case(rng: random.Random) -> bool:
        data = damaged(sound, rng)
        path.unlink()  # a new file: the old one may be mapped
        path.write_bytes(data)
        is_stored = store.missing(KEY) == []
        assert is_stored == (data == sound), "a damaged shard was accepted"
        return is_stored

    return case


def prepare_weights(folder: Path) -> Case:
    """Damage checkpoints; of the formats with checksums or lengths, none is accepted cut."""
    torch.manual_seed(0)
    state = {f"layers.{i}.weight": torch.randn(4, 5) for i in range(3)}
    writers: dict[str, Callable[[Path], object]] = {
        "w.safetensors": lambda path: save_file(state, path),
        "w.pth": lambda path: torch.save({"state_dict": state, "epoch": 3}, path),
        "old.pth": lambda path: torch.save(state, path, _use_new_zipfile_serialization=False),
    }
    sound = {}
    for name, write in writers.items():
        write(folder / name)
        sound[name] = (folder / name).read_bytes()
    (folder / "work").mkdir()

    def case(rng: random.Random) -> bool:
        name = rng.choice([*sound])
        is_cut = rng.random() < 0.3
        path = folder / "work" / name
        path.unlink(missing_ok=True)
        path.write_bytes((truncated if is_cut else damaged)(sound[name], rng))
        tensors = read_checkpoint("mine", path).tensors
        for tensor in tensors.values():
            float(tensor.float().sum())
        if is_cut:
            assert {key: value.tolist() for key, value in tensors.items()} == {
                key: value.tolist() for key, value in state.items()
            }, "a checkpoint that was cut was accepted"
        return True

    return case


def prepare_plans(folder: Path) -> Case:
    """Damage the JSON of a plan."""
    request = make_request(folder, "knn", "linear", backbones=("raw_pixels",))
    text = make_plan(request, make_workspace(request)).to_json()

    def case(rng: random.Random) -> bool:
        if rng.random() < 0.5:
            changed = json.dumps(damaged_values(json.loads(text), rng))
        else:
            changed = damaged(text.encode(), rng).decode("utf-8", "replace")
        plan = read_plan(changed, "plan.json")
        assert read_plan(plan.to_json(), "plan.json") == plan
        return True

    return case
