"""What columns of published tables mean, and which names of datasets are the same images."""

import pytest

from bob.leaderboards.column_meanings import Meaning, meaning_of, names_metric, tells_apart
from bob.leaderboards.dataset_units import dataset_units
from bob.leaderboards.metric_traits import MetricTraits, metric_traits

MEANINGS: dict[Meaning, str] = {
    "score": "top1 Top-1|(%) Acc.|↑ Top-5 acc@1 mean_per_class_recall mean_average_precision MRR "
    "mean_reciprocal_rank ImageNet-1k iNat Country211 STL-10 CLEVR|Counts dsprites_x_position "
    "KITTI|Vehicle|Distance crossmodal3600|no crossmodal3600|ms FGVC|Aircraft a r real "
    "auroc recall_at",
    "error": "top1_err Top-1|Err. Err@1 ImageNet|↓ mCE|↓ ImageNet|error mCE FPR95 ece "
    "corruption_error",
    "loss": "loss FID|↓ val_loss NLL perplexity log_loss",
    "average": "avg Avg. Mean|Acc. Sum Average|perf.|on|35|datasets Mean mean_top1 Overall "
    "Average|score",
    "difference": "top1_diff Δ rank_diff delta gain|over|baseline",
    "rank": "Rank ranking # id overall_rank",
    "spread": "top1_std acc|stderr ci95",
    "cost": "params #Params Param.|(M) #param. img/s Depth num_classes GPU|hours params|(M) "
    "FLOPs|(B) gmacs mparams infer_samples_per_sec images_per_s img_size "
    "samples_seen embed_dim infer_step_time latency epochs interp",
}


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        (name.replace("|", " "), meaning)
        for meaning, names in MEANINGS.items()
        for name in names.split()
    ],
)
def test_the_meaning_of_a_column(name: str, meaning: Meaning) -> None:
    assert meaning_of(name) == meaning


def test_columns_named_after_metrics() -> None:
    assert all(
        map(
            names_metric,
            ("top1", "Top-1 (%)", "Acc.", "Top-5", "acc1", "top1_err", "mAP", "R@5", "log_loss"),
        )
    )
    assert not any(map(names_metric, ("ImageNet", "a", "r", "ImageNet error", "MAE", "STL-10")))


def test_columns_that_tell_rows_of_one_backbone_apart() -> None:
    assert all(map(tells_apart, ("img_size", "infer_img_size", "crop_pct", "Interpolation")))
    assert not any(map(tells_apart, ("param_count", "pretrained", "ImageNet")))


@pytest.mark.parametrize(
    ("metric", "traits"),
    [
        ("top1", (True, True, True)),
        ("log_loss", (False, False, False)),
        ("ece", (False, True, False)),
        ("quality", (True, True, True)),  # unknown: a share where higher is better
        ("top1_err", (False, True, False)),
        ("perplexity", (False, False, False)),
    ],
)
def test_the_traits_of_a_metric(metric: str, traits: tuple[bool, bool, bool]) -> None:
    assert metric_traits(metric) == MetricTraits(*traits, describes=False)


UNITS = {
    "severities": (["c.fog.1", "c.fog.5_disk", "pets"], {"c", "pets"}),
    "corruptions": (["cifar snow", "cifar fog", "cifar frost"], {"cifar"}),
    "two names of weather": (["snow", "fog"], {"snow", "fog"}),
    "seeds": (["digits_seed1", "digits_seed2", "digits"], {"digits"}),
    "metrics": (
        ["Flickr image retr. R@1", "Flickr text retr. R@10", "coco_top1", "coco acc5", "COCO"],
        {"flickr", "coco"},
    ),
    "languages": ([f"xm image_retrieval_recall@1 {code}" for code in ("de", "fr", "ja")], {"xm"}),
    "two codes are no languages": (["set ab", "set cd"], {"set ab", "set cd"}),
    "names of datasets": (
        ["STL-10", "CIFAR-10", "CIFAR-100", "acc", "Food-101", "SUN397"],
        {"STL-10", "CIFAR-10", "CIFAR-100", "acc", "Food-101", "SUN397"},
    ),
}


@pytest.mark.parametrize("case", UNITS)
def test_names_that_show_the_same_images_are_one_unit(case: str) -> None:
    names, units = UNITS[case]
    assert set(dataset_units(names).values()) == units
