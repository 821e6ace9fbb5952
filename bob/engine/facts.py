"""Facts about backbones, tasks, datasets and costs, as records state them."""

from collections.abc import Collection, Iterable, Mapping

from bob.backbones.card_data import Card
from bob.backbones.weights.source import source_text
from bob.datasets.dataset import Dataset
from bob.features.shard import Effort
from bob.records.data_report import DataReport
from bob.records.record import BackboneFacts, Cost, DatasetFacts, TaskFacts
from bob.specs import BackboneSpec, TaskSpec

UnreadableImages = Mapping[str, Mapping[int, str]]
"""Split → position → why that image could not be read."""


def backbone_facts(spec: BackboneSpec, card: Card) -> BackboneFacts:
    """Return a backbone's card as a record states it."""
    return BackboneFacts(
        name=spec.name,
        family=spec.family,
        loader=spec.loader,
        architecture=spec.architecture,
        weights=source_text(spec.weights),
        weights_hash=card.weights_hash,
        output=str(spec.output),
        precision=card.precision,
        width=card.shape[-1],
        params=card.params,
        gflops=card.gflops,
        weights_mib=card.weights_mib,
        peak_mib=card.peak_mib,
        geometry=dict(card.geometry),
        normalisation={name: tuple(values) for name, values in card.normalisation.items()},
        licence=spec.licence,
        paper=spec.paper,
        pretraining=spec.pretraining,
        notes=card.notes,
    )


def task_facts(task: TaskSpec) -> TaskFacts:
    """Return a task as a record states it."""
    return TaskFacts(
        name=task.name,
        version=task.version,
        additions=task.additions,
        protocol=task.protocol,
        settings=task.settings.model_dump(mode="json"),
        metrics=task.metrics,
    )


def dataset_facts(
    dataset: Dataset,
    read: Collection[str],
    bad: UnreadableImages,
    limit: int | None,
    licence: str | None,
    report: DataReport | None = None,
) -> DatasetFacts:
    """Return a dataset as a record states it; of its shifts, those that were `read`."""
    narrowed = dataset.with_shifts(read)
    sizes: dict[str, int] = {name: len(split) for name, split in narrowed.splits.items()}
    sizes |= {name: len(shift.split) for name, shift in narrowed.shifts.items()}
    return DatasetFacts(
        name=dataset.name,
        fingerprint=narrowed.fingerprint(),
        split_origin=dict(dataset.split_origin),
        classes=len(dataset.classes),
        counts={name: size - len(bad.get(name, {})) for name, size in sizes.items()},
        bad_images={name: list(reasons.values()) for name, reasons in bad.items() if reasons},
        limit=limit,
        normal=tuple(dataset.classes[c] for c in dataset.normal or ()),
        alpha=narrowed.alpha_used,
        licence=licence,
        notes=dataset.notes,
        report=report,
    )


def cost_of(efforts: Iterable[Effort], probe_seconds: float, device: str) -> Cost:
    """Return what a cell cost.

    Extraction counts as it was measured where the features were computed, which the shards state;
    on another machine it would differ.
    """
    total = sum(efforts, Effort())
    return Cost(
        device=total.device or device,
        device_name=total.device_name or None,
        runtime=total.runtime or None,
        threads=total.threads or _threads(),
        batch_size=total.batch_size or None,
        images=total.images,
        decode_seconds=total.decode_seconds,
        forward_seconds=total.forward_seconds,
        images_per_s=total.images / total.forward_seconds if total.forward_seconds else None,
        decode_images_per_s=total.images / total.decode_seconds if total.decode_seconds else None,
        probe_seconds=probe_seconds,
        pass_peak_mib=total.peak_mib or None,
    )


def _threads() -> int:
    """Return the number of threads with which this process scores."""
    import torch

    return torch.get_num_threads()
