"""The record of several backbones that were fused."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, SplitName
from bob.datasets.image_sets import ImageSet
from bob.engine.facts import backbone_facts, cost_of, dataset_facts, task_facts
from bob.engine.scores import scores
from bob.features.store import Features
from bob.io.digest import digest
from bob.plan import Workspace
from bob.plan.keys import result_key
from bob.protocols import ResultPart
from bob.protocols.fusion import Fusion
from bob.records.provenance import provenance
from bob.records.record import FUSED, BackboneFacts, Cost, Record
from bob.specs import BackboneSpec, TaskSpec

FeaturesOfSplits = Mapping[SplitName, Features]


def fused_record(
    fusion: Fusion,
    task: TaskSpec,
    workspace: Workspace,
    dataset: Dataset,
    features: Mapping[str, FeaturesOfSplits],
    backbones: Sequence[BackboneSpec],
    seed: int,
    probe_seconds: float,
) -> tuple[Record, dict[str, NDArray[Any]]]:
    """Return the record of the fusion's chosen mode, and its per-example arrays.

    Scores are those of `task`; parameters, operations, memory and seconds are the sums of all
    backbones', so that the speed is that of running one after the other.
    """
    read = list(features[backbones[0].name])
    digests = [
        (f"{spec.name} {name}", workspace.feature_key(dataset.name, spec, ImageSet(name)).digest())
        for spec in backbones
        for name in read
    ]
    key = result_key([*digests, ("fusion", fusion.mode)], dataset.fingerprint(read), task, [seed])
    outcome = fusion.fused[fusion.mode].outcome
    train = dataset.splits["train"]
    counts = np.bincount(train.y[train.y >= 0], minlength=len(dataset.classes))
    names = tuple(spec.name for spec in backbones)
    bad = {str(name): features[backbones[0].name][name].bad for name in read}
    record = Record(
        key=key,
        status="ok",
        backbone=fused_facts(
            [backbone_facts(spec, workspace.card(spec)) for spec in backbones], fusion.mode
        ),
        backbone_name=" + ".join(names),
        family=FUSED,
        task=task_facts(task),
        dataset=dataset_facts(dataset, read, bad, None, None, workspace.report(dataset.name)),
        dataset_name=dataset.name,
        seeds=(seed,),
        scores=tuple(scores(ResultPart(outcome), task.metrics, seed, counts)),
        details=({"seed": seed, **_detail(fusion), "caveats": []},),
        cost=_summed_cost(features, probe_seconds),
        provenance=provenance(),
        fused=names,
    )
    return record, {f"{seed}.{name}": values for name, values in outcome.to_arrays().items()}


def fused_facts(members: Sequence[BackboneFacts], mode: str) -> BackboneFacts:
    """Return the facts of several backbones together: texts joined, costs summed."""

    def joined(name: str) -> str:
        return " + ".join(str(getattr(facts, name)) for facts in members)

    def summed(name: str) -> Any:
        values = [getattr(facts, name) for facts in members]
        return None if None in values else sum(values)

    precisions = list(dict.fromkeys(facts.precision for facts in members))
    return BackboneFacts(
        name=joined("name"),
        family=FUSED,
        loader=FUSED,
        architecture=joined("architecture"),
        weights=joined("weights"),
        weights_hash=digest([facts.weights_hash for facts in members]),
        output=mode,
        precision=" + ".join(precisions),
        width=summed("width"),
        params=summed("params"),
        gflops=summed("gflops"),
        weights_mib=summed("weights_mib"),
        peak_mib=summed("peak_mib"),
        geometry={},
        normalisation={},
    )


def _summed_cost(features: Mapping[str, FeaturesOfSplits], probe_seconds: float) -> Cost:
    """Return the cost of all forward passes; each image counts once."""
    efforts = [of_split.effort for splits in features.values() for of_split in splits.values()]
    cost = cost_of(efforts, probe_seconds, "cpu")
    images = (cost.images or 0) // len(features)
    speed = images / cost.forward_seconds if cost.forward_seconds else None
    return cost.model_copy(update={"images": images, "images_per_s": speed})


def _detail(fusion: Fusion) -> dict[str, Any]:
    return {
        "mode": fusion.mode,
        "held_out_top1": fusion.fused[fusion.mode].held_out_top1,
        "best_single": fusion.best_single,
        "gain": fusion.gain.value,
        "gain_low": fusion.gain.low,
        "gain_high": fusion.gain.high,
        "oracle_gain": fusion.oracle_gain,
    }
