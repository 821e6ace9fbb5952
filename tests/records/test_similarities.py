"""What a results folder keeps of the similarity of features."""

from pathlib import Path

from bob.records.similarities import (
    combined,
    features_digest,
    keep_similarities,
    read_similarities,
)
from tests.builders.leaderboard_records import facts
from tests.builders.similarities import similar_pair, similarities


def pairs_in(results: Path) -> dict[frozenset[str], float | None]:
    ((one,), problems) = read_similarities(results)
    assert problems == []
    return {pair.names: pair.cka for pair in one.pairs}


def test_pairs_of_several_calls_are_kept_and_the_newest_counts(tmp_path: Path) -> None:
    keep_similarities(tmp_path, similarities(similar_pair("a", "b", 0.5)))
    keep_similarities(tmp_path, similarities(similar_pair("b", "c", None)))
    path = keep_similarities(tmp_path, similarities(similar_pair("b", "a", 0.6)))
    assert path == tmp_path / "similarity" / "elpv.test.json"
    assert pairs_in(tmp_path) == {frozenset("ab"): 0.6, frozenset("bc"): None}


def test_pairs_of_other_features_or_images_are_dropped(tmp_path: Path) -> None:
    """c and d are compared after the weights of b have changed, then a and b on other images."""
    keep_similarities(
        tmp_path, similarities(similar_pair("a", "b", 0.5), similar_pair("a", "d", 0.4))
    )
    changed = {"b": features_digest(facts("b", weights_hash="other")), "c": "c"}
    keep_similarities(tmp_path, similarities(similar_pair("b", "c", 0.3), backbones=changed))
    assert pairs_in(tmp_path) == {frozenset("bc"): 0.3, frozenset("ad"): 0.4}
    other = similarities(similar_pair("a", "b", 0.2), fingerprints=("print-2",))
    keep_similarities(tmp_path, other)
    assert pairs_in(tmp_path) == {frozenset("ab"): 0.2}


def test_features_are_identified_by_weights_output_and_what_the_backbone_sees() -> None:
    digest = features_digest(facts("a"))
    assert features_digest(facts("a", params=1, licence="MIT")) == digest
    for change in (
        {"weights_hash": "other"},
        {"output": "cls"},
        {"precision": "float16"},
        {"geometry": {"input_px": 384}},
        {"normalisation": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}},
    ):
        assert features_digest(facts("a", **change)) != digest, change


def test_a_damaged_file_is_left_out_and_written_again(tmp_path: Path) -> None:
    path = keep_similarities(tmp_path, similarities(similar_pair("a", "b", 0.5)))
    path.write_text("{}", encoding="utf-8")
    found, (problem,) = read_similarities(tmp_path)
    assert found == [] and str(path) in problem and "writes it again" in problem
    keep_similarities(tmp_path, similarities(similar_pair("a", "c", 0.4)))
    assert pairs_in(tmp_path) == {frozenset("ac"): 0.4}


def test_a_folder_without_any_has_none(tmp_path: Path) -> None:
    assert read_similarities(tmp_path) == ([], [])


def test_splits_are_apart() -> None:
    one, other = (
        similarities(similar_pair("a", "b", 0.5), split=split) for split in ("test", "train")
    )
    assert combined([one, other]) == [one, other]
