"""A record as text: the ranking score first, then where it comes from."""

from bob.leaderboards.render.record_text import notes_of, record_lines
from tests.builders.leaderboard_records import dataset, failed, record, score


def test_the_ranking_score_is_first_with_its_interval_and_baseline() -> None:
    scores = (score("ece", 0.05), score("top1", 0.8, majority=0.6), score("top5", None))
    lines = list(record_lines(record("vit", scores=scores)))
    assert lines[0] == "linear on elpv: vit"
    assert lines[1].split()[:3] == ["top1", "80.0", "%"] and "[78.0–82.0]" in lines[1]
    assert lines[1].endswith("majority class 60.0")
    assert lines[2].split()[:2] == ["ece", "5.0"]
    assert lines[3].split()[:2] == ["top5", "undefined"]


def test_every_section_of_a_complete_record_is_there() -> None:
    lines = list(record_lines(record("vit")))
    text = "\n".join(lines)
    for title in ("backbone", "data", "task", "provenance"):
        assert title in lines
    for fact in ("tf_efficientnet_lite0 (timm, supervised)", "train 1,574", "record"):
        assert fact in text


def test_a_failure_has_its_reason() -> None:
    lines = list(record_lines(failed("vit", "out of memory")))
    assert lines[1] == "  failed: out of memory"


def test_notes_are_those_of_data_backbone_and_fit() -> None:
    noted = record(
        "vit",
        dataset=dataset(notes=("4 images repeat",)),
        details=(
            {"seed": 0, "caveats": ["C at the edge"]},
            {"seed": 1, "caveats": ["C at the edge"]},
        ),
    )
    assert notes_of(noted) == ["data: 4 images repeat", "task: C at the edge"]


def test_parts_of_a_metric_have_its_unit() -> None:
    """Errors without an upper bound are no percentages, and neither are those of a part."""
    scores = (score("abs_rel", 0.317), score("abs_rel_ceiling", 0.035), score("top1_k20", 0.5))
    words = [line.split()[1:3] for line in list(record_lines(record("vit", scores=scores)))[1:4]]
    assert words[0][0] == "0.317" and words[1][0] == "0.035" and words[2] == ["50.0", "%"]


def test_the_majority_class_has_the_unit_of_its_score() -> None:
    scores = (score("top1", 0.8, majority=0.6), score("log_loss", 0.91, majority=2.119))
    lines = list(record_lines(record("vit", scores=scores)))
    assert lines[1].endswith("majority class 60.0")
    assert lines[2].endswith("majority class 2.119")
